package app

import (
	"context"
	"sync"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/streams"
)

// noteError passes an error that NATS reported apart from a call to those whom it concerns. It returns false if none
// handles it.
func (w *worker) noteError(err error) bool {
	w.control.Note(err)
	return w.violations.Note(err) || w.fleet.Note(err) || w.steering.Note(err)
}

// notePull passes the outcome of a pull on to readiness. If a pull was refused, the streams may have been deleted, so it
// verifies them.
func (w *worker) notePull(ctx context.Context, refused error) {
	if refused == nil {
		w.binding.PullOK()
		return
	}
	w.binding.PullRefused(refused)
	_ = w.binding.Check(ctx) // the binding logs the error and is not ready
}

// watch starts everything that runs until ctx ends, alongside the tasks: it keeps the streams bound,
// notices a bucket of records that was lost or restored, counts the backlog, shares what the poller learns,
// rereads the API key, and watches what operators ask. wait waits for the end of all of it and returns no error.
func (w *worker) watch(ctx context.Context, line *pipeline.Pipeline, backlog *consumer.Backlog) (wait func() error) {
	var running sync.WaitGroup
	running.Go(func() { w.binding.Keep(ctx) })
	running.Go(func() { w.binding.WatchRecords(ctx) })
	running.Go(func() { restoreRecords(ctx, w.binding, line) })
	running.Go(func() { backlog.Run(ctx) })
	running.Go(func() {
		if w.cfg.NATS.Provision { // a worker that only provisions has nothing to share, and creates the bucket as well
			w.control.Prepare(context.WithoutCancel(ctx))
		}
		w.poller.Share(ctx, w.control)
	})
	running.Go(func() { w.steering.Run(ctx) })
	running.Go(func() {
		// A pause that began because the key was rejected ends with a new key, not only at its own end.
		w.api.Run(ctx, w.log, func() {
			w.admission.KeyChanged()
			w.poller.KeyChanged()
		})
	})
	return func() error { running.Wait(); return nil }
}

// restoreRecords makes the pipeline write its records again whenever the bucket may have lost them, until
// ctx ends. Without its record, a task that is redelivered to another worker would look new, and run twice.
func restoreRecords(ctx context.Context, binding *streams.Binding, line *pipeline.Pipeline) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-binding.Recreated():
			line.RecordsLost()
		}
	}
}
