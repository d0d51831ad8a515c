package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"
)

// everyone is the worker of a break that concerns all.
const everyone = ""

// fault is something that was broken on purpose.
type fault struct {
	worker  string // whom it concerned
	what    string
	doubt   bool // it can leave a submission's outcome unknown
	over    bool // the worker gave up its tasks by it
	away    bool // NATS was away, or took nothing more
	stopped bool // the worker could do nothing
	resends bool // a worker may publish its events once more: it cannot know whether they were stored
	silent  bool // the stream of events has no leader for a while: workers may publish again every two seconds
	refuses bool // the stream of events takes nothing for a while: workers publish again as soon as they like
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
			end := f.noteSince(from, fault{what: stoodStill, doubt: true, away: true, stopped: true, resends: true})
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

const (
	// manyCopies is how many copies of an event a fault explains that keeps the stream from taking it.
	manyCopies = 1000

	// answerPatience is how long a worker waits at least for the stream's answer to an event.
	answerPatience = 2 * time.Second
)

// resent returns how many copies of an event the faults explain: events that these workers published during a span.
func (f *faults) resent(workers map[string]bool, during span) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.all {
		switch {
		case !b.overlaps(during), b.worker != everyone && !workers[b.worker]:
		case b.refuses:
			n += manyCopies
		case b.silent:
			n += 1 + int((b.until.Sub(b.from)+comeBack)/answerPatience)
		case b.resends:
			n++
		}
	}
	return n
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

// comeBack is how much longer than planned NATS may be away: a node starts, a leader is elected, a worker connects.
const comeBack = 5 * time.Second

// excuse reports whether a worker that was told to stop at a moment may end with an error. Where NATS was away
// from then on, or just before, it may end with 1: what it held could not be given back and moves on after
// ACK_WAIT. One that was itself stopped or killed ends as it can.
func (f *faults) excuse(worker string, told time.Time, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	exit, ended := errors.AsType[*exec.ExitError](err)
	return slices.ContainsFunc(f.all, func(b *fault) bool {
		if b.worker != everyone && b.worker != worker {
			return false
		}
		return b.stopped && b.overlaps(span{from: told}) ||
			b.away && b.overlaps(span{from: told.Add(-comeBack)}) && ended && exit.ExitCode() == 1
	})
}
