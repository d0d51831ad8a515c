//go:build !nodemo

package main

import (
	"context"
	"os"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/dashboard"
)

// startDashboard starts the dashboard of the demo: at DASHBOARD_ADDR if that is set, and else at the default address, or at
// any free port if that is taken. stop stops it and waits for it.
func startDashboard(ctx context.Context, c *client, log zerolog.Logger) (url string, stop func(), err error) {
	cfg, err := (&dashboardCmd{}).config()
	if err != nil {
		return "", nil, usageError{err}
	}
	s, err := dashboard.New(ctx, cfg, c.queue(), log)
	if err != nil && os.Getenv("DASHBOARD_ADDR") == "" {
		cfg.Addr = "127.0.0.1:0"
		s, err = dashboard.New(ctx, cfg, c.queue(), log)
	}
	if err != nil {
		return "", nil, err
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(running); err != nil {
			log.Error().Err(err).Msg("dashboard stopped")
		}
	}()
	return "http://" + s.Addr(), func() { end(); <-ended }, nil
}

// aboutPage says what a visitor of the demo's dashboard can do.
func aboutPage() string {
	if os.Getenv("DASHBOARD_TOKEN") != "" {
		return "the dashboard: open it in a browser, and log in with DASHBOARD_TOKEN"
	}
	return "the dashboard: open it in a browser; it only shows, unless you set DASHBOARD_TOKEN"
}
