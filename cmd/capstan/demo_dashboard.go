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
