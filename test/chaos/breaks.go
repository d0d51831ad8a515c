package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"
)

// everyone is the worker of a break that concerns all.
const everyone = ""

// fault is something that was broken on purpose.
type fault struct {
	worker string // whom it concerned
	what   string
	doubt  bool // it can leave a submission's outcome unknown
	over   bool // the worker gave up its tasks by it
	span
}

// faults notes all that was broken. It prints each with its time for whoever reads the logs later.
type faults struct {
	mu  sync.Mutex
	log io.WriteCloser
	all []*fault
}

// stoodStill is what a fault is called that nobody made.
const stoodStill = "the machine stood still"

// watch notes when this program, and so everything beside it, did not run for a while, until ctx ends. It
// is a fault as good as any.
func (f *faults) watch(ctx context.Context) {
	const often, late = 100 * time.Millisecond, time.Second
	for {
		from := time.Now()
		if process.Pass(ctx, often) != nil {
			return
		}
		if time.Since(from) > late {
			end := f.noteSince(from, fault{what: stoodStill, doubt: true})
			end()
		}
	}
}

// stalled reports whether the machine stood still at any time, so that times mean nothing.
func (f *faults) stalled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.all, func(b *fault) bool { return b.what == stoodStill })
}

// note adds a fault that begins now, and returns what to call when it is over.
func (f *faults) note(kind fault) (end func()) { return f.noteSince(time.Now(), kind) }

func (f *faults) noteSince(from time.Time, kind fault) (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind.from = from
	entry := &kind
	f.all = append(f.all, entry)
	_, _ = fmt.Fprintf(f.log, "%s %s %s\n", kind.from.UTC().Format(time.RFC3339Nano), kind.what, kind.worker)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		entry.until = time.Now()
		_, _ = fmt.Fprintf(f.log, "%s end of %s %s\n", entry.until.UTC().Format(time.RFC3339Nano), kind.what, kind.worker)
	}
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// explain reports whether one of the faults fell into one of the windows of doubt.
func (f *faults) explain(windows []window) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range windows {
		for _, b := range f.all {
			if b.doubt && (b.worker == everyone || b.worker == w.worker) && b.overlaps(w.span) {
				return true
			}
		}
	}
	return false
}

// handovers returns the longest time until the tasks of a worker that was killed, stopped or drained were
// another's.
func (f *faults) handovers(j *journal) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var slowest time.Duration
	for _, b := range f.all {
		if !b.over {
			continue
		}
		took, taskID := j.handover(b.worker, b.from)
		if took > ackWait {
			_, _ = fmt.Fprintf(f.log, "%s after %s %s the last of its tasks, %s, was another's\n", took, b.what, b.worker, taskID)
		}
		slowest = max(slowest, took)
	}
	return slowest
}

// disturbed reports whether anything else than a signal to stop concerned a worker since then.
func (f *faults) disturbed(worker string, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		if (b.worker == everyone || b.worker == worker && b.doubt) && b.overlaps(span{from: since}) {
			return true
		}
	}
	return false
}
