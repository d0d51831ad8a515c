package control_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// ends waits until a context ends because its task is canceled.
func (s *steered) ends(ctx context.Context) {
	t := s.t
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("got a context that goes on, want its end")
	}
	if got := context.Cause(ctx); !errors.Is(got, task.ErrCanceled) {
		t.Errorf("got the cause %v, want ErrCanceled", got)
	}
}

func TestAContextEndsWhenItsTaskIsCanceled(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.put("cancel.already", "")
	stopRun := s.run()
	s.eventually("already", "", true)
	already, stopAlready := s.Until(t.Context(), "already", "night")
	if err := already.Err(); err == nil {
		t.Error("got a context that goes on, want one that has ended")
	}
	s.ends(already)
	first, stopFirst := s.Until(t.Context(), "a", "night")
	second, stopSecond := s.Until(t.Context(), "a", "") // the same task
	ofBatch, stopBatch := s.Until(t.Context(), "b", "night")
	stopped, stop := s.Until(t.Context(), "a", "night")
	stop(nil)
	stop(nil)
	if got := context.Cause(stopped); !errors.Is(got, context.Canceled) {
		t.Errorf("got the cause %v of a context that was stopped, want Canceled", got)
	}
	s.put("cancel.a", "")
	s.ends(first)
	s.ends(second)
	if err := ofBatch.Err(); err != nil {
		t.Errorf("got %v for another task of the batch, want none", err)
	}
	s.put("cancel-batch.night", "")
	s.ends(ofBatch)
	stopRun()
	for _, stop := range []context.CancelCauseFunc{stopFirst, stopSecond, stopBatch, stopAlready, stopFirst} {
		stop(nil)
	}
	if contexts, batches := s.Waiting(); contexts != 0 || batches != 0 {
		t.Errorf("got %d contexts of %d batches that are kept, want none", contexts, batches)
	}
}

// Contexts of one task stop in any order, and the others go on.
func TestAContextThatIsStoppedLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	var all []context.Context
	var stops []context.CancelCauseFunc
	for range 3 {
		ctx, stop := s.Until(t.Context(), "a", "night")
		all, stops = append(all, ctx), append(stops, stop)
	}
	stops[1](nil)
	if contexts, batches := s.Waiting(); contexts != 2 || batches != 1 {
		t.Errorf("got %d contexts of %d batches, want 2 of 1", contexts, batches)
	}
	s.put("cancel.a", "")
	s.ends(all[0])
	s.ends(all[2])
	stops[2](nil)
	stops[0](nil)
}

func TestAContextEndsWithItsParent(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	gone := errors.New("the lease is lost")
	parent, cancel := context.WithCancelCause(t.Context())
	ctx, stop := s.Until(parent, "a", "")
	defer stop(nil)
	cancel(gone)
	if got := context.Cause(ctx); !errors.Is(got, gone) {
		t.Errorf("got the cause %v, want the parent's", got)
	}
}

// A context that began before the first look, or while the marks did not fit, misses nothing.
func TestAContextMissesNoMark(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.SetBudget(300)
	early, stop := s.Until(t.Context(), "early", "")
	defer stop(nil)
	s.put("cancel.other", "")
	s.put("cancel.early", "")
	s.run()
	s.ends(early)
	for i := range 5 { // those that come are beyond the budget as well
		ctx, stop := s.Until(t.Context(), fmt.Sprint(i), "")
		s.put(fmt.Sprintf("cancel.%d", i), "")
		s.ends(ctx)
		stop(nil)
	}
}

// 100,000 tasks may be waited for, and 50,000 marks come at once.
func TestManyContextsAndMarksAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes 50,000 marks")
	}
	const tasks, marked = 100_000, 50_000
	s := newSteered(t, time.Hour)
	s.run()
	s.Canceled(t.Context(), "a", "")
	ids := make([]string, tasks)
	for i := range ids {
		ids[i] = fmt.Sprintf("night-%06d", i)
	}
	contexts, stops := make([]context.Context, 0, tasks), make([]context.CancelCauseFunc, 0, tasks)
	before, goroutines := memory(), runtime.NumGoroutine()
	for _, id := range ids {
		ctx, stop := s.Until(t.Context(), id, "night")
		contexts, stops = append(contexts, ctx), append(stops, stop)
	}
	each := (memory() - before) / tasks
	if each > 300 {
		t.Errorf("got %d bytes for each context, want at most 300", each)
	}
	for _, ctx := range contexts {
		ctx.Done()
	}
	t.Logf("a context takes %d bytes, and %d with its channel", each, (memory()-before)/tasks)
	if got := runtime.NumGoroutine(); got > goroutines+5 {
		t.Errorf("got %d more goroutines, want none", got-goroutines)
	}
	began := time.Now()
	for _, id := range ids[:marked] {
		if err := s.js.Conn().Publish("$KV.task_control.cancel."+id, []byte(`{"reason":"wrong customer","by":"ada"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, ctx := range contexts[:marked] {
		s.ends(ctx)
	}
	t.Logf("%d marks ended their contexts after %v and take %d bytes", marked, time.Since(began), s.MarkBytes())
	for _, stop := range stops {
		stop(nil)
	}
	if got := s.metric("capstan_cancel_marks"); got != marked {
		t.Errorf("got %v marks in memory, want all", got)
	}
	again := steer(t, s.server, time.Hour) // a worker that starts
	before = memory()
	began = time.Now()
	again.run()
	again.eventually(ids[marked-1], "", true)
	t.Logf("a worker that starts knows them after %v", time.Since(began))
	natstest.Eventually(t, func() error {
		if got := again.metric("capstan_cancel_marks"); got != marked {
			return fmt.Errorf("got %v marks in memory, want all", got)
		}
		return nil
	})
	if used := memory() - before; used > again.MarkBytes()*5/4 {
		t.Errorf("got %d bytes of memory in use for marks that count as %d", used, again.MarkBytes())
	}
}

// memory returns the bytes of the heap that are in use.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
