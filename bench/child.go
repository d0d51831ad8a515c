package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/test/process"
)

// childVariable in the environment makes this program one of its own children: what it holds is a child
// as JSON.
const childVariable = "CAPSTAN_BENCH_CHILD"

// child says which process this is.
type child struct {
	Role string            `json:"role"` // nats, api or keeper
	NATS natsserver.Config `json:"nats,omitzero"`
	API  standin.Config    `json:"api,omitzero"`
}

func (c child) env() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("tell a child what it is: %w", err)
	}
	return childVariable + "=" + string(text), nil
}

// runChild is a child's own main. It works until ctx ends.
func runChild(ctx context.Context, text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("read %s: %w", childVariable, err)
	}
	switch c.Role {
	case "nats":
		server, err := natsserver.Start(c.NATS)
		if err != nil {
			return err
		}
		defer server.Stop()
		<-ctx.Done()
		return nil
	case "api":
		return standin.Serve(ctx, c.API)
	case "keeper":
		process.Keep(os.Stdin)
		return nil
	default:
		return fmt.Errorf("%s has no such role: %q", childVariable, c.Role)
	}
}
