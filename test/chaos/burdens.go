package main

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// burdens are loads that need more memory than a worker has, unless it takes one thing after the other.
func burdens() []scenario {
	return []scenario{
		{name: "large-together", about: "40 results of 8 MiB end together, in the memory of a pod", newer: true, alone: true, run: largeTogether},
	}
}

// What the manifests give a worker, and what it may take of it.
const (
	podMemory  = 500 << 20
	mostMemory = 450 << 20
)

func largeTogether(ctx context.Context, w *world) error {
	const n, size = 40, 8 << 20
	if !w.race { // the race detector takes several times as much
		w.memory = podMemory
	}
	for range 2 {
		if _, err := w.startWorker(ctx, "GOMEMLIMIT=450MiB", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s"); err != nil {
			return err
		}
	}
	together := time.Now().Add(5 * time.Second)
	for range n {
		r := plain(0)
		r.kind, r.want.Result = "large", nil
		r.plan = anchortest.Plan{Poll: []anchortest.Fault{
			anchortest.State("RUNNING").During(time.Until(together)), anchortest.Large(size).Repeated(-1),
		}}
		if err := w.ask(ctx, r); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.measureMemory()
}

// measureMemory shows the most memory that a worker has had, and notes where that was too much.
func (w *world) measureMemory() error {
	var most int64
	for _, p := range w.workers {
		if err := p.Running(); err != nil {
			w.note("%v", err)
			continue
		}
		peak, err := p.Peak()
		if err != nil {
			return err
		}
		most = max(most, peak)
	}
	w.measured = append(w.measured, fmt.Sprintf("memory %d MiB", most>>20))
	if most > mostMemory && !w.race {
		w.note("a worker had %d MiB of memory, want at most %d", most>>20, mostMemory>>20)
	}
	return nil
}
