package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// cleanups are the steps of a shutdown. Each is added right where the thing that it stops is created, and
// they run in the opposite order: a part may use everything that was created before it until it has
// stopped. One goroutine uses it.
type cleanups struct {
	steps []cleanup
	log   zerolog.Logger
}

// cleanup is one step of a shutdown.
type cleanup struct {
	name string // of the thing that it stops, for the log
	stop func() error
}

// add adds a step, which runs before all steps that were added earlier.
func (c *cleanups) add(name string, stop func() error) {
	c.steps = append(c.steps, cleanup{name, stop})
}

// run runs all steps, the last one first, and returns their errors. A step that fails does not prevent the others. The log
// has the time that each one took, which shows what a slow shutdown waits for.
func (c *cleanups) run() error {
	var errs []error
	for _, step := range slices.Backward(c.steps) {
		began := time.Now()
		errs = append(errs, step.stop())
		c.log.Debug().Str("part", step.name).Dur("took_ms", time.Since(began)).Msg("part stopped")
	}
	return errors.Join(errs...)
}

// limitDrain closes the connection to NATS when the drain, which begins with the end of ctx, takes longer
// than DRAIN_TIMEOUT: that interrupts every call that still waits for NATS. cancel ends the limit, and must
// be called exactly once, when the drain is over.
func (w *worker) limitDrain(ctx context.Context) (cancel func() error) {
	drained := make(chan struct{})
	context.AfterFunc(ctx, func() {
		select {
		case <-drained:
		case <-time.After(w.cfg.Drain.Timeout):
			w.nc.Close()
		}
	})
	return func() error { close(drained); return nil }
}
