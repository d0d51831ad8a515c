package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// profileFolder is where profiles are written, for go tool pprof.
	profileFolder = "profiles"

	profileSeconds = 5
	profileTasks   = 80_000 // last longer than the profile
	profileHeld    = 10_000
)

// profile writes the worker's CPU and heap profiles at full speed, and with many tasks held. There are no
// figures: what was found is told in docs/benchmarks.md.
func profile(ctx context.Context, l *lab) ([]figure.Row, error) {
	if err := os.MkdirAll(profileFolder, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := l.profileThroughput(ctx); err != nil {
		return nil, err
	}
	return nil, l.profileHolding(ctx)
}

func (l *lab) profileThroughput(ctx context.Context) error {
	w, err := l.newWorld(ctx, standin.Config{})
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", profileTasks)
	}
	if err != nil {
		return err
	}
	busy, _ := crowds()
	p, err := w.startWorker(ctx, "worker", busy.settings()...)
	if err != nil {
		return err
	}
	return keepProfiles(ctx, p, "throughput")
}

func (l *lab) profileHolding(ctx context.Context) error {
	settings := holdSettings(profileHeld)
	w, err := l.newWorld(ctx, standin.Config{Hold: true}, settings...)
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", profileHeld)
	}
	if err != nil {
		return err
	}
	p, err := w.startWorker(ctx, "worker", settings...)
	if err != nil {
		return err
	}
	if err := held(ctx, p, profileHeld); err != nil {
		return err
	}
	return keepProfiles(ctx, p, "holding")
}

// keepProfiles writes what the worker tells of itself.
func keepProfiles(ctx context.Context, p *process.Process, name string) error {
	for _, of := range []struct{ kind, path string }{
		{"cpu", fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds)}, // first: the others tell of this time
		{"heap", "/debug/pprof/heap?gc=1"},
		{"allocs", "/debug/pprof/allocs"},
		{"goroutine", "/debug/pprof/goroutine"},
	} {
		text, err := ask(ctx, p, of.path)
		if err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
		file := filepath.Join(profileFolder, name+"."+of.kind+".prof")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
		fmt.Println("wrote", file)
	}
	return nil
}

// quickPolls are settings under which a worker asks at once whether a workflow has ended.
func quickPolls() []string {
	const shortest = time.Millisecond
	return []string{"POLL_INTERVAL=" + shortest.String(), "POLL_MAX_INTERVAL=" + shortest.String()}
}
