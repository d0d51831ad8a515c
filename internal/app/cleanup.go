package app

import (
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
