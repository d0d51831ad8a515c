package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/settings"
)

// dashboardCmd serves the web page of the queue.
type dashboardCmd struct {
	Addr string `placeholder:"HOST:PORT" help:"Where to listen. Default: DASHBOARD_ADDR, or else 127.0.0.1:8090."`
}

// Help is printed below the flags.
func (*dashboardCmd) Help() string {
	return `The page shows tasks, batches, workers and dead letters, live. It reads NATS only, so it can run anywhere, with an
operator's login.

DASHBOARD_TOKEN (16 characters or more) is what visitors log in with; they may cancel, pause, resume and run failed
tasks again. Without it the page only shows, and only to this machine.

Examples:

  capstan dashboard
  export DASHBOARD_TOKEN=$(openssl rand -hex 16); echo $DASHBOARD_TOKEN
  capstan dashboard --addr :8090`
}

// dashboardSettings are the variables DASHBOARD_*.
type dashboardSettings struct{ Dashboard dashboard.Config }

// dashboardMemory is the memory up to which garbage is left alone, in bytes. GOMEMLIMIT takes precedence.
const dashboardMemory = 64 << 20

// Run serves until ctx ends.
func (d *dashboardCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := d.config()
	if err != nil {
		return usageError{err}
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(dashboardMemory)
	}
	c, err := connect(nats.IgnoreAuthErrorAbort())
	if err != nil {
		return err
	}
	defer c.nc.Close()
	s, err := dashboard.New(ctx, cfg, c.queue(), app.NewLogger(t.err, c.cfg.Log.Level, c.cfg.Log.Format))
	if err != nil {
		return err
	}
	t.printf("the dashboard is at http://%s\n", s.Addr())
	return s.Run(ctx)
}

// config returns the settings, with the address of the flag. The error has a line for each mistake.
func (d *dashboardCmd) config() (dashboard.Config, error) {
	var all dashboardSettings
	mistakes := settings.Load(&all)
	if d.Addr != "" {
		all.Dashboard.Addr = d.Addr
	}
	if mistakes = append(mistakes, all.Dashboard.Validate()...); len(mistakes) > 0 {
		return all.Dashboard, errors.New(strings.Join(mistakes, "\n"))
	}
	return all.Dashboard, nil
}
