package app

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// shareInterval is the time between two looks at the other workers.
const shareInterval = 30 * time.Second

// shareStarts makes the worker share the submissions that the API accepts with the other workers. It looks once at what
// they know before it returns: what this worker takes without knowing that may be refused. run goes on until ctx ends.
func (w *worker) shareStarts(ctx context.Context) (run func()) {
	others := admission.Fleet{Store: w.control, Clock: w.clock}
	w.admission.Join(ctx, others)
	return func() {
		for timer.Sleep(ctx, shareInterval, nil) == nil {
			// How many run matters only while the API tells how many submissions it accepts.
			if _, told := w.admission.Starts(); told {
				if all, err := fleet.All(ctx, w.nc); err == nil {
					others.Workers = len(all)
				}
			}
			w.admission.Join(ctx, others)
		}
	}
}

// noteStarts passes on what an answer to a submission tells. The client exists before the admission, and submits after it.
func (w *worker) noteStarts(told task.Starts) { w.admission.NoteStarts(told) }
