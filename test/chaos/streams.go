package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/process"
)

// streamFaults returns the scenarios in which streams are full, deleted or recreated while workers hold tasks.
func streamFaults() []scenario {
	return []scenario{
		{name: "results-full", about: "the results stream is full: events wait", short: true, run: full(resultStream, plain(time.Second))},
		{name: "bucket-full", about: "the bucket is full: records wait, also those of accepted tasks", short: true, run: full(recordStream, posting(anchortest.Fault{After: time.Second}))},
		{name: "objects-missing", about: "the object store is missing: large results wait", short: true, run: objectsMissing},
		{name: "bucket-deleted", about: "the bucket is deleted while tasks run: the workers that hold them write the records again", short: true, newer: true, run: bucketDeleted},
		{name: "requests-recreated", about: "the request stream is recreated while a worker holds old requests: no new one is lost", short: true, newer: true, run: requestsRecreated},
	}
}

// full keeps a stream full for longer than ACK_WAIT, shortly after tasks were submitted.
func full(stream string, r recipe) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		const n = 10
		check(w.startWorkers(ctx, 2))
		check(w.ask(ctx, times(n, r)...))
		check(process.Until(ctx, "all tasks are posted", 20*time.Second, func() error {
			logs, err := w.api.Logs(ctx)
			if err == nil && len(logs) < n {
				err = fmt.Errorf("%d of %d are", len(logs), n)
			}
			return err
		}))
		w.certain()
		end := w.faults.note(streamFull(stream))
		defer end()
		usual := must(w.limit(ctx, stream))
		check(process.Pass(ctx, takeoverTime))
		check(w.update(ctx, usual))
	}
}

func streamFull(stream string) fault {
	return fault{what: "full: " + stream, outage: true, refuses: stream == resultStream}
}

// limit limits a stream to its present size, and returns its configuration without a limit. Two faults may limit
// the same stream at once, so the limit that it finds does not count.
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

func objectsMissing(ctx context.Context, w *world) {
	const n = 3
	check(w.startWorkers(ctx, 2))
	check(w.ask(ctx, times(n, large(time.Second))...))
	check(w.waitRunning(ctx, n))
	end := w.faults.note(fault{what: "no object store", outage: true})
	defer end()
	store := must(w.stream(ctx, objectStream))
	check(w.js.DeleteStream(ctx, objectStream))
	check(process.Pass(ctx, takeoverTime))
	if w.journal.ended() > 0 {
		check(errors.New("a task with a large result ended without the object store"))
	}
	must(w.js.CreateStream(ctx, store.CachedInfo().Config))
}

func bucketDeleted(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	n := w.tasks / 4
	check(w.ask(ctx, times(n, plain(takeoverTime+5*time.Second))...))
	check(w.waitRunning(ctx, n))
	w.certain()
	check(w.deleteBucket(ctx))
	check(w.workers[0].Kill()) // the other continues from the records
}

// rewriteTime is how long workers may take to write the records of running tasks again. They write their own at once. The
// record of a task whose worker has died is written by another one, after ACK_WAIT and after the time in which a POST
// could still be in progress. A task whose session is being ended is written after that, which may take sessionGrace.
const rewriteTime = 45 * time.Second

// deletion is when the bucket was deleted on purpose: at some moment between two.
type deletion struct{ from, until time.Time }

// deleteBucket deletes the bucket, and waits until every unfinished task has a record again.
func (w *world) deleteBucket(ctx context.Context) error {
	running := w.journal.running() // a task that waits is written with its next step, which a pause can delay
	deleted := time.Now()
	end := w.faults.note(fault{what: "bucket deleted"})
	defer end()
	if err := w.deleteStream(ctx, recordStream); err != nil {
		return err
	}
	w.deletions = append(w.deletions, deletion{deleted, time.Now()})
	within := rewriteTime
	if w.sessions {
		within += sessionGrace
	}
	err := process.Until(ctx, "the records of all running tasks are written again", within, func() error {
		if n := w.journal.writtenSince(running, deleted); n < len(running) {
			return fmt.Errorf("%d of %d are", n, len(running))
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		w.note("%v", err)
		return nil // the count shows what followed
	}
	return err
}

func (w *world) deleteStream(ctx context.Context, name string) error {
	return untilNATS(ctx, "deletes "+name, func(ctx context.Context) error {
		err := w.js.DeleteStream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
}

// requestsRecreated has a worker acknowledge requests of a deleted stream. Their sequences are those of new requests,
// which another worker holds.
func requestsRecreated(ctx context.Context, w *world) {
	n := w.tasks / 12
	first := must(w.startWorker(ctx))
	check(w.ask(ctx, times(n, plain(15*time.Second))...))
	check(w.waitRunning(ctx, n))
	end := w.faults.note(fault{what: "request stream deleted"})
	defer end()
	check(w.deleteStream(ctx, requestStream))
	second := must(w.startWorker(ctx)) // creates the stream, if the first has not done so
	// The first cannot take new requests, but it continues with those that it holds.
	heal := first.breakNATS("down", (*link.Link).Down)
	check(process.Pass(ctx, time.Second))
	check(w.ask(ctx, times(n, plain(30*time.Second))...))
	check(w.waitRunning(ctx, n))
	heal()
	check(w.waitEnded(ctx, w.asked[:n])) // so the first has acknowledged its requests
	w.certain()
	check(second.Kill())
}

// waitEnded waits until tasks have a finished record.
func (w *world) waitEnded(ctx context.Context, tasks []asked) error {
	return process.Until(ctx, fmt.Sprintf("%d tasks end", len(tasks)), time.Minute, func() error {
		for _, a := range tasks {
			if state := w.journal.state(a.id); !state.Ended() {
				return fmt.Errorf("%s is %q", a.id, state)
			}
		}
		return nil
	})
}
