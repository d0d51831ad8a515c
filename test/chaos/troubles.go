package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// troubles are an API that fails, and links to it that are broken.
func troubles() []scenario {
	return []scenario{
		{name: "api-mixture", about: "every kind of task at once, and again when it has ended; nothing else broken", short: true, run: everyKind},
		{name: "api-outages", about: "an API that answers 500, 429, HTML, nothing, or loses its answers", short: true, run: apiOutages},
		{name: "api-slow", about: "an API slower than a call may take", run: apiSlow},
		{name: "api-links", about: "links to the API cut, cut half-way, stalled and slow", short: true, run: apiLinks},
	}
}

func everyKind(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	each := w.each()
	if err := w.ask(ctx, append(each, w.mixed(w.tasks/2)...)...); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.askAgain(ctx, len(each))
}

// askAgain repeats the requests of the first n tasks, which have ended: each has to be answered by its event.
func (w *world) askAgain(ctx context.Context, n int) error {
	type repetition struct {
		id      string
		request verdict.Request
	}
	var repeated []repetition
	for i := range w.asked[:n] {
		a := &w.asked[i]
		if a.want.Invalid {
			continue // refused again, with an event and a dead letter of its own
		}
		a.want.Copies++
		if err := w.publish(ctx, a, a.want.Copies); err != nil {
			return err
		}
		repeated = append(repeated, repetition{a.id, a.want.Requests[len(a.want.Requests)-1]})
	}
	w.look = func(events []verdict.Event) {
		for _, r := range repeated {
			if !slices.ContainsFunc(events, func(ev verdict.Event) bool {
				return slices.ContainsFunc(ev.Header[nats.MsgIdHdr], func(id string) bool { return r.request.Names(r.id, id, w.older != "") })
			}) {
				w.note("request %d of %s came again and was not answered", r.request.Seq, r.id)
			}
		}
	}
	return nil
}

func apiOutages(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for _, f := range []anchortest.Fault{
		anchortest.RateLimited(1), anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway),
		anchortest.Hang(), anchortest.Reset().ButAccepted(), anchortest.Answer(http.StatusUnauthorized),
	} {
		if err := w.apiFails(ctx, time.Second, f, w.mixed(w.tasks/12)); err != nil {
			return err
		}
	}
	return nil
}

// apiFails lets the API fail for a while and asks for tasks shortly before.
func (w *world) apiFails(ctx context.Context, during time.Duration, f anchortest.Fault, tasks []recipe) error {
	if err := w.ask(ctx, tasks...); err != nil {
		return err
	}
	end := w.faults.note(fault{what: "outage of the API", doubt: f.Before+f.After > 0})
	defer end()
	if err := w.api.fail(ctx, f); err != nil {
		return err
	}
	if err := process.Pass(ctx, during); err != nil {
		return err
	}
	return w.api.recover(ctx)
}

func apiSlow(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for _, f := range []anchortest.Fault{{Before: 3 * time.Second}, {After: 3 * time.Second}, {After: time.Second}} {
		if err := w.apiFails(ctx, 4*time.Second, f, times(w.tasks/12, plain(time.Second))); err != nil {
			return err
		}
	}
	return nil
}

func apiLinks(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for i, way := range waysToBreak() {
		if err := w.ask(ctx, w.mixed(w.tasks/12)...); err != nil {
			return err
		}
		heal := w.workers[i%2].breakAPI(way.name, way.do)
		if err := process.Pass(ctx, time.Second); err != nil {
			return err
		}
		heal()
	}
	return nil
}

// way is a way to break a link.
type way struct {
	name string
	do   func(*link.Link)
}

func waysToBreak() []way {
	return []way{
		{"cut", (*link.Link).Cut},
		{"cut half-way", (*link.Link).CutHalfway},
		{"down", (*link.Link).Down},
		{"stalled", (*link.Link).Stall},
		{"slow", slow(50 * time.Millisecond)},
	}
}
