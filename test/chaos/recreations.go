package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/process"
)

// recreations are streams that are deleted while workers hold tasks, and recreated by a worker.
func recreations() []scenario {
	return []scenario{
		{name: "bucket-deleted", about: "the bucket is deleted while tasks run: their holders write the records again", short: true, newer: true, run: bucketDeleted},
		{name: "requests-recreated", about: "the request stream is recreated while a worker holds old requests: no new one is lost", short: true, newer: true, run: requestsRecreated},
	}
}

func bucketDeleted(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	n := w.tasks / 4
	if err := w.ask(ctx, times(n, plain(awayLonger+5*time.Second))...); err != nil {
		return err
	}
	if err := w.waitRunning(ctx, n); err != nil {
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	if err := w.forget(ctx); err != nil {
		return err
	}
	return w.workers[0].Kill() // the other goes on from the records
}

// rewriteTime is how long the holders of tasks may take to write their records again.
const rewriteTime = 20 * time.Second

// forget deletes the bucket, and waits until every task that has not ended has a record again.
func (w *world) forget(ctx context.Context) error {
	held := w.journal.unfinished()
	deleted := time.Now()
	end := w.faults.note(fault{what: "bucket deleted"})
	defer end()
	if err := w.deleteStream(ctx, recordStream); err != nil {
		return err
	}
	w.forgotten = append(w.forgotten, deleted)
	err := process.Until(ctx, "all records are written again", rewriteTime, func() error {
		if n := w.journal.writtenSince(held, deleted); n < len(held) {
			return fmt.Errorf("%d of %d are", n, len(held))
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		w.note("%v", err)
		return nil // what comes of that is in the count
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

// requestsRecreated lets a worker acknowledge requests of a stream that is gone: the sequences are those of new
// requests, which another worker holds.
func requestsRecreated(ctx context.Context, w *world) error {
	n := w.tasks / 12
	first, err := w.startWorker(ctx)
	if err != nil {
		return err
	}
	if err := w.ask(ctx, times(n, plain(15*time.Second))...); err != nil {
		return err
	}
	if err := w.waitRunning(ctx, n); err != nil {
		return err
	}
	end := w.faults.note(fault{what: "request stream deleted"})
	defer end()
	if err := w.deleteStream(ctx, requestStream); err != nil {
		return err
	}
	second, err := w.startWorker(ctx) // it makes the stream, if the first has not done so
	if err != nil {
		return err
	}
	// The first cannot take new requests, but it goes on with those that it holds.
	heal := first.breakNATS("down", (*link.Link).Down)
	if err := process.Pass(ctx, time.Second); err != nil {
		return err
	}
	if err := w.ask(ctx, times(n, plain(30*time.Second))...); err != nil {
		return err
	}
	if err := w.waitRunning(ctx, n); err != nil {
		return err
	}
	heal()
	if err := w.waitEnded(ctx, w.asked[:n]); err != nil { // and so the first has acknowledged its requests
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	return second.Kill()
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
