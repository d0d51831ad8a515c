package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/check"
	"github.com/capstan-worker/capstan/internal/settings"
)

// isProbe reports whether the command only asks a worker that runs.
func (c *checkCmd) isProbe() bool { return c.Ready || c.Live }

// probe asks the worker on this machine, prints its answer, and returns an error if it is not ready, or not alive.
func (c *checkCmd) probe(ctx context.Context, t *terminal) error {
	addr, err := c.probed()
	if err != nil {
		return err
	}
	path := check.Readyz
	if c.Live {
		path = check.Livez
	}
	ok, answer, err := check.Probe(ctx, addr, path)
	if err != nil {
		return fmt.Errorf("%w. Does a worker run there? Its log says where it listens (admin server listening); set ADMIN_ADDR or --at to that", err)
	}
	t.printf("%s\n", strings.TrimRight(printableLines(answer), "\n"))
	if !ok {
		return errors.New("the worker is not ready")
	}
	return nil
}

// probed returns the address to ask: that of --at, or else that of the settings. The error is a usageError.
func (c *checkCmd) probed() (string, error) {
	if c.At != nil {
		return *c.At, checkProbed("--at", *c.At)
	}
	cfg, _ := app.LoadCheckedConfig() // mistakes in other settings are the worker's to report
	return cfg.Admin.Addr, checkProbed("ADMIN_ADDR", cfg.Admin.Addr)
}

// checkProbed refuses an address that nobody can be asked at. A worker may listen on port 0, which is any free one.
func checkProbed(name, addr string) error {
	port, ok := settings.Port(addr)
	switch {
	case !ok:
		return usageError{fmt.Errorf("%s must be host:port or :port, such as 127.0.0.1:8080 (got %.100q)", name, addr)}
	case port == 0:
		return usageError{fmt.Errorf("%s has port 0, which is any free port (got %.100q): give the one in the worker's log with --at", name, addr)}
	default:
		return nil
	}
}
