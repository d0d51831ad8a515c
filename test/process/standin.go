package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// standInConfig is the configuration of a child in the role StandInRole.
type standInConfig struct {
	Addr   string          `json:"addr"`
	Config json.RawMessage `json:"config"` // for the program's own handler
}

// ServeStandIn returns the function of StandInRole for RunChild: it serves the handler, an anchortest.Server or a
// handler around one. The configuration is the one that StartStandIn was given.
func ServeStandIn(handler func(config []byte) (http.Handler, error)) Role {
	return func(ctx context.Context, config []byte) error {
		var cfg standInConfig
		if err := json.Unmarshal(config, &cfg); err != nil {
			return fmt.Errorf("configure the stand-in: %w", err)
		}
		api, err := handler(cfg.Config)
		if err != nil {
			return fmt.Errorf("configure the stand-in: %w", err)
		}
		server := &http.Server{Addr: cfg.Addr, Handler: api, ReadHeaderTimeout: 10 * time.Second}
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the stand-in: %w", err)
		}
		return nil
	}
}

// StandIn is a child that serves the stand-in for the API.
type StandIn struct {
	*Process
	Addr string // host and port
}

// StartStandIn starts this program again in the role StandInRole, and waits until it answers.
func (k *Keeper) StartStandIn(ctx context.Context, dir, addr string, config any, env ...string) (*StandIn, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("configure the stand-in: %w", err)
	}
	s := &StandIn{Addr: addr}
	if s.Process, err = k.StartChild(ctx, dir, "api", StandInRole, standInConfig{Addr: addr, Config: text}, env...); err != nil {
		return nil, err
	}
	return s, Until(ctx, "the stand-in answers", time.Minute, func() error {
		_, err := s.Totals(ctx)
		return errors.Join(err, s.Running())
	})
}

// Logs returns the log of each task.
func (s *StandIn) Logs(ctx context.Context) (map[string]anchortest.Log, error) {
	var log struct {
		Tasks map[string]anchortest.Log `json:"tasks"`
	}
	err := s.Get(ctx, "/_stand-in/log", &log)
	return log.Tasks, err
}

// Totals returns the sums over all tasks.
func (s *StandIn) Totals(ctx context.Context) (totals anchortest.Totals, err error) {
	err = s.Get(ctx, "/_stand-in/totals", &totals)
	return totals, err
}

// Get reads what the stand-in answers at a path, as JSON.
func (s *StandIn) Get(ctx context.Context, path string, into any) error {
	answer, err := Call(ctx, http.MethodGet, "http://"+s.Addr+path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}
