package app

import (
	"context"

	"github.com/capstan-worker/capstan/internal/gate"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

type admissionAdapter struct{ *gate.Gate }

func (a admissionAdapter) Acquire(ctx context.Context, _ string) (func(error), error) {
	return a.Enter(ctx)
}

type pollerAdapter struct{ *poller.Poller }

func (a pollerAdapter) Wait(ctx context.Context, w *task.Watch) (task.Ending, error) {
	type result struct {
		e   task.Ending
		err error
	}
	done := make(chan result, 1)
	a.Watch(ctx, w, func(e task.Ending, err error) { done <- result{e, err} })
	r := <-done
	return r.e, r.err
}
