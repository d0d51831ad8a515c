package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/process"
)

// controlBucket is the default name of the bucket by which operators steer workers.
const controlBucket = "task_control"

// markTime is how long a worker may take to learn of a cancellation, also if the server has just lost its watch.
const markTime = 10 * time.Second

// deferral is a request that is published once its cancellation is known.
type deferral struct {
	index int // of the world's asked
	due   time.Time
}

// cancellation says when a task is canceled.
type cancellation int

const (
	neverCanceled  cancellation = iota
	canceledBefore              // its request is published
	canceledAfter               // the next request is published
)

// steered returns tasks that are run again, and tasks that are canceled.
func steered() []kind {
	return []kind{
		{3, func(r *rand.Rand) recipe {
			flaky := plain(shortly(r)).with("retries", 1)
			flaky.kind, flaky.plan.Fails, flaky.want.Retries = "flaky", 1, 1
			return flaky
		}},
		{1, func(r *rand.Rand) recipe {
			hopeless := failing("hopeless", anchortest.Plan{Run: shortly(r), Fails: 9}, task.WorkflowFailed).with("retries", 1)
			hopeless.want.Retries = 1
			return hopeless
		}},
		{2, func(*rand.Rand) recipe {
			unwanted := failing("unwanted", anchortest.Plan{}, task.Canceled).with("batch", "chaos")
			unwanted.cancel, unwanted.want.NeverRun = canceledBefore, true
			return unwanted
		}},
		{3, func(r *rand.Rand) recipe {
			recalled := plain(shortly(r))
			recalled.kind, recalled.cancel, recalled.want.May = "recalled", canceledAfter, task.Canceled
			return recalled
		}},
	}
}

// cancel marks a task as canceled.
func (w *world) cancel(ctx context.Context, id string) error {
	return w.steer(ctx, control.CancelPrefix+id, []byte("chaos"))
}

// cancelAndDefer cancels the task that was written last, and publishes its request later.
func (w *world) cancelAndDefer(ctx context.Context, id string) error {
	w.deferred = append(w.deferred, deferral{len(w.asked) - 1, time.Now().Add(markTime)})
	return w.cancel(ctx, id)
}

// publishDeferred publishes the requests that are due, or waits for all of them.
func (w *world) publishDeferred(ctx context.Context, wait bool) error {
	for len(w.deferred) > 0 && (wait || !time.Now().Before(w.deferred[0].due)) {
		first := w.deferred[0]
		if err := process.Pass(ctx, time.Until(first.due)); err != nil {
			return err
		}
		if err := w.publishAll(ctx, &w.asked[first.index]); err != nil {
			return err
		}
		w.deferred = w.deferred[1:]
	}
	return nil
}

// steer writes a key of the control bucket until NATS has stored it. nil deletes the key.
func (w *world) steer(ctx context.Context, key string, value []byte) error {
	return untilNATS(ctx, "takes "+key, func(ctx context.Context) error {
		msg := nats.NewMsg("$KV." + controlBucket + "." + key)
		msg.Data = value
		if value == nil {
			msg.Header.Set("KV-Operation", "DEL")
		}
		_, err := w.js.PublishMsg(ctx, msg)
		return err
	})
}

// cancelLater cancels the task that was to be canceled after the next request, and takes down this one.
func (w *world) cancelLater(ctx context.Context, a *asked) error {
	if err := w.cancelRecalled(ctx); err != nil {
		return err
	}
	if a.cancel == canceledAfter {
		w.recall = a.id
	}
	return nil
}

// cancelRecalled cancels the task that was to be canceled after the next request, if there is one.
func (w *world) cancelRecalled(ctx context.Context) error {
	id := w.recall
	if id == "" {
		return nil
	}
	w.recall = ""
	return w.cancel(ctx, id)
}

// pause stops all submissions for a while. Half of the pauses end by themselves, the others are taken back. If NATS is down
// it does nothing.
func (s *storm) pause(ctx context.Context) error {
	if s.broken["NATS"] {
		return nil
	}
	lasts := s.upTo(4 * time.Second)
	return s.breakOnce(ctx, "submissions", lasts,
		func(ctx context.Context) error {
			pause := task.Pause{Reason: "chaos", By: "chaos"}
			if s.random.IntN(2) == 0 {
				pause.Until = time.Now().Add(lasts)
			}
			value, err := json.Marshal(pause)
			if err != nil {
				return fmt.Errorf("write a pause: %w", err)
			}
			return s.steer(ctx, control.PauseKey, value)
		},
		s.resume)
}

// resume ends a pause as soon as NATS is up.
func (s *storm) resume(ctx context.Context) error {
	if s.broken["NATS"] {
		s.repairAfter(time.Second, s.resume)
		return nil
	}
	return s.steer(ctx, control.PauseKey, nil)
}
