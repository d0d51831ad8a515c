package control

import (
	"context"

	"github.com/capstan-worker/capstan/internal/task"
)

// waiter is a context that ends when its task is canceled.
type waiter struct {
	cancel        context.CancelCauseFunc
	taskID, batch string
	next          *waiter // another one of the same task
}

// waiters are those that have not stopped.
type waiters struct {
	byTask  map[string]*waiter // the one that came last
	batches map[string]int     // the number of waiters of each batch
}

func newWaiters() waiters { return waiters{byTask: map[string]*waiter{}, batches: map[string]int{}} }

func (ws waiters) add(w *waiter) {
	w.next = ws.byTask[w.taskID]
	ws.byTask[w.taskID] = w
	if w.batch != "" {
		ws.batches[w.batch]++
	}
}

// remove removes a waiter if it is still there.
func (ws waiters) remove(w *waiter) {
	first := ws.byTask[w.taskID]
	link := &first
	for *link != nil && *link != w {
		link = &(*link).next
	}
	if *link == nil {
		return
	}
	*link = w.next
	if first == nil {
		delete(ws.byTask, w.taskID)
	} else {
		ws.byTask[w.taskID] = first
	}
	if w.batch != "" {
		ws.batches[w.batch]--
		if ws.batches[w.batch] == 0 {
			delete(ws.batches, w.batch)
		}
	}
}

// of returns those that wait for the cancellation of a task or a batch.
func (ws waiters) of(t target) (all []*waiter) {
	switch {
	case !t.batch:
		for w := ws.byTask[t.name]; w != nil; w = w.next {
			all = append(all, w)
		}
	case ws.batches[t.name] > 0: // a batch is canceled too rarely for a list of its waiters
		for _, w := range ws.byTask {
			for ; w != nil; w = w.next {
				if w.batch == t.name {
					all = append(all, w)
				}
			}
		}
	}
	return all
}

// Until returns a context that ends with ctx, or as soon as the task or its batch is canceled: then [context.Cause] is
// task.ErrCanceled. If it is canceled already, the context has ended. stop ends it with another cause, or nil for
// context.Canceled; the caller calls it when it does not need the context any more. Further calls do nothing. batch may be
// empty.
//
// Unlike Canceled, it does not wait for the first look at the bucket: that look ends the context as well.
func (s *Steering) Until(ctx context.Context, taskID, batch string) (_ context.Context, stop context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &waiter{cancel: cancel, taskID: taskID, batch: batch}
	s.mu.Lock()
	s.waiters.add(w)
	s.mu.Unlock()
	// A mark that is put from here on finds the waiter.
	if _, found, _ := s.search(ctx, taskID, batch); found {
		cancel(task.ErrCanceled)
	}
	return ctx, func(cause error) {
		s.mu.Lock()
		s.waiters.remove(w)
		s.mu.Unlock()
		w.cancel(cause)
	}
}
