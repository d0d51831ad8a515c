package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// recipe says what the API does with a task, and how the task must end.
type recipe struct {
	kind    string
	plan    anchortest.Plan
	session anchortest.SessionPlan // what the calls about its sessions meet; only with SESSIONS=on
	fields  map[string]any         // of the request, in addition to the usual ones
	want    verdict.Task
	cancel  cancellation
}

// asked is a task that was asked for.
type asked struct {
	recipe
	id      string
	request []byte
}

// plain is a task that runs for a while and succeeds.
func plain(run time.Duration) recipe {
	return recipe{
		kind: "plain",
		plan: anchortest.Plan{Run: run, Result: json.RawMessage(`{"heading":"Hello","n":7}`)},
		want: verdict.Task{Status: task.Succeeded, Result: json.RawMessage(`{"heading":"Hello","n":7}`)},
	}
}

// with returns the recipe for a request with one more field.
func (r recipe) with(field string, value any) recipe {
	fields := map[string]any{field: value}
	maps.Copy(fields, r.fields)
	r.fields = fields
	return r
}

// resubmitting returns the recipe for a request that allows a second submission.
func (r recipe) resubmitting() recipe {
	r = r.with("on_unknown_submission", "resubmit")
	r.want.Resubmit = true
	return r
}

// write creates the request of a recipe. The result is valid until the next call.
func (w *world) write(r recipe) (*asked, error) {
	a := asked{recipe: r, id: fmt.Sprintf("%s-%d", r.kind, len(w.asked)+1)}
	prompt, err := anchortest.Prompt(a.id+" "+w.word, r.plan)
	if err != nil {
		return nil, err
	}
	metadata := fmt.Sprintf(`{"n":%d}`, len(w.asked)+1)
	a.want.ID, a.want.Metadata = a.id, json.RawMessage(metadata)
	request := map[string]any{
		"task_id": a.id, "url": "https://example.com", "prompt": prompt, "metadata": a.want.Metadata,
		"secret_values": map[string]string{"PIN": w.secret},
	}
	maps.Copy(request, r.fields)
	if a.request, err = json.Marshal(request); err != nil {
		return nil, fmt.Errorf("write request %s: %w", a.id, err)
	}
	w.asked = append(w.asked, a)
	return &w.asked[len(w.asked)-1], nil
}

// ask publishes a request for each recipe, and its copies.
func (w *world) ask(ctx context.Context, recipes ...recipe) error {
	if err := w.publishDeferred(ctx, false); err != nil {
		return err
	}
	for _, r := range recipes {
		a, err := w.write(r)
		if err != nil {
			return err
		}
		if a.cancel == canceledBefore {
			if err := w.cancelAndDefer(ctx, a.id); err != nil {
				return err
			}
			continue
		}
		if err := w.publishAll(ctx, a); err != nil {
			return err
		}
		if err := w.cancelLater(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// publishAll publishes a request and its copies.
func (w *world) publishAll(ctx context.Context, a *asked) error {
	for i := range a.want.Copies + 1 {
		if err := w.publish(ctx, a, i); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes a request until NATS has stored it, and notes where. The message id prevents unintended copies.
func (w *world) publish(ctx context.Context, a *asked, copied int) error {
	began := time.Now()
	return untilNATS(ctx, "takes request "+a.id, func(ctx context.Context) error {
		msg := nats.NewMsg("tasks.request")
		msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s.%d", a.id, copied))
		msg.Data = a.request
		ack, err := w.js.PublishMsg(ctx, msg)
		if err == nil {
			stored := verdict.Request{Seq: ack.Sequence, From: began, Until: time.Now()}
			a.want.Requests = append(a.want.Requests, stored)
		}
		return err
	})
}

// times returns a recipe n times.
func times(n int, r recipe) []recipe {
	all := make([]recipe, n)
	for i := range all {
		all[i] = r
	}
	return all
}

// mixed returns n tasks of all kinds.
func (w *world) mixed(n int) []recipe {
	kinds := w.kinds()
	var all []recipe
	for range n {
		r := choose(w.random, kinds).do(w.random)
		if w.sessions {
			r = r.withPolicy(w.random)
		}
		all = append(all, r)
	}
	return all
}

// each returns one task of every kind.
func (w *world) each() []recipe {
	var all []recipe
	for _, k := range w.kinds() {
		all = append(all, k.do(w.random))
	}
	return all
}

// shortly returns a short time, for which most tasks run.
func shortly(random *rand.Rand) time.Duration {
	return time.Duration(random.Int64N(int64(3 * time.Second)))
}

// certain says that the submissions of all tasks so far are in no doubt: none may end with submission_unknown.
func (w *world) certain() {
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
}
