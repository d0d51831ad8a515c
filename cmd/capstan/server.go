package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/capstan-worker/capstan/internal/app"
)

// contextVariable names a context of the nats command, which has the same variable.
const contextVariable = "NATS_CONTEXT"

// serverFlags are the flags that say which NATS a command uses. They are pointers, because an empty value is a mistake and
// not the default: a script may have misspelled a variable.
type serverFlags struct {
	NATSURL *string `name:"nats-url" xor:"server" placeholder:"URL" help:"NATS servers, separated by commas. Default: NATS_URL, or else nats://127.0.0.1:4222."`
	Context *string `xor:"server" placeholder:"NAME" help:"Use the servers and the login of this context of the nats command. Default: NATS_CONTEXT, or else the variables NATS_*."`
}

// validate returns a usageError for a flag without a value.
func (f serverFlags) validate() error {
	switch {
	case f.NATSURL != nil && *f.NATSURL == "":
		return usageError{errors.New(`--nats-url must be nats://host:port, or several of these separated by commas (got "")`)}
	case f.Context != nil && *f.Context == "":
		return usageError{errors.New(`--context must be the name of a context, see: nats context ls (got "")`)}
	default:
		return nil
	}
}

// apply writes the choice into the environment, where connect reads it. A flag takes precedence over all variables, and
// NATS_CONTEXT over the other ones. A note on standard error names the variables that have no effect then.
func (f serverFlags) apply(command *kong.Context) error {
	if err := f.validate(); err != nil {
		return err
	}
	name := os.Getenv(contextVariable)
	if f.NATSURL != nil {
		if name != "" {
			_, _ = fmt.Fprintf(command.Stderr, "capstan: %s is ignored, because --nats-url is given\n", contextVariable)
		}
		return cmp.Or(setVariable(contextVariable, ""), setVariable("NATS_URL", *f.NATSURL))
	}
	switch command.Selected().Name {
	case "check", "worker":
		if f.Context != nil {
			return usageError{fmt.Errorf("%s cannot use --context: a worker reads NATS_URL and the other variables NATS_*", command.Selected().Name)}
		}
		return nil
	case "demo", "probe", "stub", "help", "version", "completion", "schema": // these use no server of the user's
		return setVariable(contextVariable, "")
	}
	if f.Context != nil {
		name = *f.Context
	}
	if name == "" {
		return nil
	}
	ignored, err := unsetServer()
	if len(ignored) > 0 {
		_, _ = fmt.Fprintf(command.Stderr, "capstan: using context %s; ignored: %s\n", oneLine(name, messageWidth), strings.Join(ignored, ", "))
	}
	return cmp.Or(err, setVariable(contextVariable, name))
}

// unsetServer unsets the variables of servers, login and JetStream domain, which a context replaces, and returns the names
// of those that had a value.
func unsetServer() (names []string, err error) {
	for _, s := range app.Settings() {
		if !strings.HasPrefix(s.Name, "NATS_") || s.Name == "NATS_PROVISION" || s.Name == "NATS_REPLICAS" {
			continue
		}
		if os.Getenv(s.Name) != "" {
			names = append(names, s.Name)
		}
		if err := setVariable(s.Name, ""); err != nil {
			return names, err
		}
	}
	return names, nil
}

// setVariable sets a variable of the environment, or unsets it if the value is empty.
func setVariable(name, value string) error {
	err := os.Unsetenv(name)
	if value != "" {
		err = os.Setenv(name, value)
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}
