package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A task that waits says in its record what for, and no longer once it is submitted.
func TestARecordSaysWhatItsTaskWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(7)}}
	verdict := make(chan error, 1)
	p, d := w.worker("w1", healthy{}), w.request(w.planned(plan, ""))(1)
	go func() { verdict <- handle(t.Context(), p, d) }()
	natstest.Eventually(t, func() error {
		rec, err := w.records().Get(t.Context(), "a")
		if err != nil || rec.State != task.Waiting || rec.WaitsFor == "" {
			return fmt.Errorf("got %+v, %w", rec, err)
		}
		return nil
	})
	must(t, <-verdict)
	w.wantOneEvent(success, 1)
	if rec, err := w.records().Get(t.Context(), "a"); err != nil || rec.WaitsFor != "" || !rec.WaitsUntil.IsZero() {
		t.Errorf("got %+v, %v, want a record that waits for nothing", rec, err)
	}
}

// A worker that has a task can tell its step, and when it asks for the workflow next.
func TestAWorkerTellsHowFarATaskHasCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newStall("status")
	d := w.request(w.planned(anchortest.Plan{}, ""))(1)
	p := w.worker("w1", s)
	verdict := make(chan error, 1)
	go func() { verdict <- handle(t.Context(), p, d) }()
	<-s.reached
	got, ok := p.Progress("a")
	if !ok || got.Step != "poll" || got.Since.IsZero() || got.NextPoll.IsZero() {
		t.Errorf("got %+v %v, want a task that is polled", got, ok)
	}
	close(s.resume)
	must(t, <-verdict)
	if got, ok := p.Progress("a"); ok {
		t.Errorf("got %+v after the task has ended", got)
	}
}

// The first record of a task that cannot be submitted soon says why, and not only the next one.
func TestTheFirstRecordOfATaskThatWaitsSaysWhatFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.worker("w1", healthy{})
	plan := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(3600).Repeated(-1)}}
	ctx, cancel := context.WithCancel(t.Context())
	var handling sync.WaitGroup
	defer handling.Wait()
	defer cancel()
	for _, d := range []task.Delivery{w.request(w.planned(plan, ""))(1), w.request(`{"task_id":"b","prompt":"b","url":"https://example.com"}`)(1)} {
		handling.Go(func() { _ = handle(ctx, p, d) })
		natstest.Eventually(t, func() error {
			_, _, paused := p.Admission.Paused()
			if !paused {
				return errors.New("not paused yet")
			}
			return nil
		})
	}
	var first task.Record
	natstest.Eventually(t, func() (err error) {
		first, err = w.records().Get(t.Context(), "b")
		return err
	})
	if first.State != task.Waiting || first.WaitsFor != task.ForPause || first.WaitsUntil.IsZero() {
		t.Errorf("got %+v, want a record that waits for the end of the pause", first)
	}
}
