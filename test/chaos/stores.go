package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// stores are streams that take nothing more.
func stores() []scenario {
	return []scenario{
		{name: "results-full", about: "the results stream is full: events wait", short: true, run: full(resultStream, times(10, plain(time.Second)))},
		{name: "bucket-full", about: "the bucket is full: records wait, of accepted tasks too", short: true, run: full(recordStream, times(10, posting(anchortest.Fault{After: time.Second})))},
		{name: "objects-away", about: "the object store is away: large results wait", short: true, run: objectsAway},
	}
}

// full fills a stream shortly after tasks were asked for, for longer than ACK_WAIT.
func full(stream string, tasks []recipe) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		if err := w.startWorkers(ctx, 2); err != nil {
			return err
		}
		if err := w.ask(ctx, tasks...); err != nil {
			return err
		}
		if err := process.Until(ctx, "all tasks are posted", 20*time.Second, func() error {
			logs, err := w.api.logs(ctx)
			if err == nil && len(logs) < len(tasks) {
				err = fmt.Errorf("%d of %d are", len(logs), len(tasks))
			}
			return err
		}); err != nil {
			return err
		}
		for i := range w.asked {
			w.asked[i].want.Certain = true
		}
		return w.fill(ctx, stream, awayLonger)
	}
}

func noRoom(stream string) fault {
	return fault{what: "no room in " + stream, away: true, refuses: stream == resultStream}
}

// fill makes a stream refuse new messages for a while.
func (w *world) fill(ctx context.Context, stream string, during time.Duration) error {
	end := w.faults.note(noRoom(stream))
	defer end()
	usual, err := w.limit(ctx, stream)
	if err != nil {
		return err
	}
	if err := process.Pass(ctx, during); err != nil {
		return err
	}
	return w.update(ctx, usual)
}

// limit lets a stream hold no more than it does, and returns how it is configured without. Two breaks may
// limit the same stream at once: what the second finds is not how it was.
func (w *world) limit(ctx context.Context, stream string) (usual jetstream.StreamConfig, err error) {
	s, err := w.stream(ctx, stream)
	if err != nil {
		return usual, err
	}
	usual = s.CachedInfo().Config
	usual.MaxBytes = -1
	cfg := usual
	cfg.Discard = jetstream.DiscardNew
	cfg.MaxBytes = max(1, int64(min(s.CachedInfo().State.Bytes, math.MaxInt64)))
	return usual, w.update(ctx, cfg)
}

func (w *world) update(ctx context.Context, cfg jetstream.StreamConfig) error {
	return untilNATS(ctx, "updates "+cfg.Name, func(ctx context.Context) error {
		_, err := w.js.UpdateStream(ctx, cfg)
		return err
	})
}

func objectsAway(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	const n = 3
	if err := w.ask(ctx, times(n, large(time.Second))...); err != nil {
		return err
	}
	if err := w.waitRunning(ctx, n); err != nil {
		return err
	}
	end := w.faults.note(fault{what: "no object store", away: true})
	defer end()
	store, err := w.stream(ctx, objectStream)
	if err != nil {
		return err
	}
	if err := w.js.DeleteStream(ctx, objectStream); err != nil {
		return fmt.Errorf("take the object store away: %w", err)
	}
	if err := process.Pass(ctx, awayLonger); err != nil {
		return err
	}
	if n := w.journal.ended(); n > 0 {
		return errors.New("a task with a large result ended without the object store")
	}
	if _, err := w.js.CreateStream(ctx, store.CachedInfo().Config); err != nil {
		return fmt.Errorf("bring the object store back: %w", err)
	}
	return nil
}
