package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

// childVariable in the environment makes a program one of its own children. Its value is a child as JSON.
const childVariable = "CAPSTAN_TEST_CHILD"

// The roles that every program can give to its children. It may add its own: see RunChild.
const (
	NATS        = "nats" // its configuration is a natsserver.Config
	StandInRole = "api"  // the program gives its function to RunChild: see ServeStandIn
	keeper      = "keeper"
)

// Role plays the part of a child until ctx ends. The configuration is JSON.
type Role func(ctx context.Context, config []byte) error

type child struct {
	Role   string          `json:"role"`
	Config json.RawMessage `json:"config,omitempty"`
}

// StartChild starts this program again as a child with that role. The configuration must be a value that JSON can
// carry. Everything else is as in Start.
func (k *Keeper) StartChild(ctx context.Context, dir, name, role string, config any, env ...string) (*Process, error) {
	variable, err := ChildEnv(role, config)
	if err != nil {
		return nil, err
	}
	return k.Start(ctx, nil, dir, name, k.self, append(env, variable)...)
}

// ChildEnv returns the variable that makes this program a child with that role. The configuration must be a value
// that JSON can carry.
func ChildEnv(role string, config any) (string, error) {
	text, err := json.Marshal(config)
	if err == nil {
		text, err = json.Marshal(child{Role: role, Config: text})
	}
	if err != nil {
		return "", fmt.Errorf("configure a child as %s: %w", role, err)
	}
	return childVariable + "=" + string(text), nil
}

// RunChild plays the part of a child until ctx ends, and reports whether this process is one. Each role that is not
// one of this package's own has its function in roles.
func RunChild(ctx context.Context, roles map[string]Role) (isChild bool, err error) {
	text := os.Getenv(childVariable)
	if text == "" {
		return false, nil
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return true, fmt.Errorf("read %s: %w", childVariable, err)
	}
	switch run := roles[c.Role]; {
	case run != nil:
		return true, run(ctx, c.Config)
	case c.Role == keeper:
		keep(os.Stdin)
		return true, nil
	case c.Role == NATS:
		return true, serveNATS(ctx, c.Config)
	default:
		return true, fmt.Errorf("%s has an unknown role %q", childVariable, c.Role)
	}
}

// serveNATS runs a NATS server until ctx ends.
func serveNATS(ctx context.Context, config []byte) error {
	var cfg natsserver.Config
	if err := json.Unmarshal(config, &cfg); err != nil {
		return fmt.Errorf("read the configuration of NATS: %w", err)
	}
	server, err := natsserver.Start(cfg)
	if err != nil {
		return err
	}
	defer server.Stop()
	<-ctx.Done()
	return nil
}
