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

// everyone is the worker of a fault that affects all.
const everyone = ""

// fault is something that was broken on purpose.
type fault struct {
	worker  string // the worker that it affected
	what    string
	doubt   bool // a submission may have an unknown outcome
	over    bool // the worker lost its tasks
	outage  bool // NATS was down, or refused messages
	stopped bool // the worker could do nothing
	resends bool // a worker may publish its events once more, because it cannot know whether they were stored
	silent  bool // the results stream has no leader for a while: workers may publish again every two seconds
	refuses bool // the results stream refuses messages for a while: workers may publish again at any time
	span
}

// faults notes everything that was broken, and logs it with its time.
type faults struct {
	mu  sync.Mutex
	log io.WriteCloser
	all []*fault
}

// stoodStill names a fault that this program did not cause.
const stoodStill = "the machine stood still"

// watch notes when this program, and so all others, did not run for a while, until ctx ends. That is a fault, too.
func (f *faults) watch(ctx context.Context) {
	const often, late = 100 * time.Millisecond, time.Second
	for {
		from := time.Now()
		if process.Pass(ctx, often) != nil {
			return
		}
		if time.Since(from) > late {
			end := f.noteSince(from, fault{what: stoodStill, doubt: true, outage: true, stopped: true, resends: true})
			end()
		}
	}
}

// stalled reports whether the machine stood still at any time, so that measured times are not valid.
func (f *faults) stalled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.all, func(b *fault) bool { return b.what == stoodStill })
}

// note adds a fault that begins now. The caller must call end when it is over.
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

// explain reports whether one of the faults happened in one of the windows of doubt.
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
	// manyCopies is how many copies of an event a fault explains while the stream refuses events.
	manyCopies = 1000

	// pubAckTimeout is how long a worker waits for a PubAck, at least.
	pubAckTimeout = 2 * time.Second
)

// resent returns how many copies of an event the faults explain: events that these workers published during a span.
func (f *faults) resent(workers map[string]bool, during span) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.all {
		lasts := b.span
		if b.silent && !lasts.until.IsZero() { // the nodes that came back elect a leader first
			lasts.until = lasts.until.Add(recoveryTime)
		}
		switch {
		case !lasts.overlaps(during), b.worker != everyone && !workers[b.worker] && !workers[everyone]:
		case b.refuses:
			n += manyCopies
		case b.silent:
			n += 1 + int((b.until.Sub(b.from)+recoveryTime)/pubAckTimeout)
		case b.resends:
			n++
		}
	}
	return n
}

// handovers returns the longest time until another worker had the tasks of one that was killed, stopped or drained.
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
			_, _ = fmt.Fprintf(f.log, "%s after %s %s another worker had the last of its tasks, %s\n", took, b.what, b.worker, taskID)
		}
		slowest = max(slowest, took)
	}
	return slowest
}

// recoveryTime is how much longer than planned NATS may be down: a node starts, a leader is elected, a worker connects.
const recoveryTime = 5 * time.Second

// excuse reports whether a worker that got SIGTERM at a moment may exit with an error. If NATS was down after that, or
// just before, it may exit with 1: it could not hand its tasks over, so they move on after ACK_WAIT. A worker that was
// itself stopped or killed may exit with any code.
func (f *faults) excuse(worker string, signaled time.Time, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	exit, ended := errors.AsType[*exec.ExitError](err)
	return slices.ContainsFunc(f.all, func(b *fault) bool {
		if b.worker != everyone && b.worker != worker {
			return false
		}
		return b.stopped && b.overlaps(span{from: signaled}) ||
			b.outage && b.overlaps(span{from: signaled.Add(-recoveryTime)}) && ended && exit.ExitCode() == 1
	})
}
