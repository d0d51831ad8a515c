package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/process"
)

// windowTasks is how many tasks are in a window together when the worker is broken.
const windowTasks = 5

// moment is a moment in the life of a task at which its worker is broken.
type moment struct {
	name  string
	about string
	hold  func(*link.Link) *link.Hold // stops a task there; nil: the API does
	task  recipe
	code  task.Code // the error of a task whose worker is killed there; empty: it succeeds
}

// moments returns all moments that differ in what the next worker finds, in the order in which a task reaches them.
func moments() []moment {
	quick := plain(0)
	return []moment{
		{"before-claim", "before the record is stored", before(record(task.Submitting)), quick, ""},
		{"after-claim", "when the record is stored and the POST has not left", after(record(task.Submitting)), quick, task.SubmissionUnknown},
		{"in-post", "in the middle of a POST that was not accepted yet", nil, posting(anchortest.Fault{Before: holdPost}), task.SubmissionUnknown},
		{"in-answer", "in the middle of a POST that was accepted", nil, posting(anchortest.Fault{After: holdPost}), task.SubmissionUnknown},
		{"in-answer-again", "the same, of a request that allows a second submission", nil, posting(anchortest.Fault{After: holdPost}).resubmitting(), ""},
		{"before-id", "between the answer to the POST and its record", before(record(task.Running)), quick, task.SubmissionUnknown},
		{"after-id", "when the workflow's id was just recorded", after(record(task.Running)), quick, ""},
		{"before-event", "before the event is stored", before(event), quick, ""},
		{"after-event", "when the event was just stored", after(event), quick, ""},
		{"before-end", "between event and record", before(record(task.Succeeded)), quick, ""},
		{"after-end", "when the record was just finished", after(record(task.Succeeded)), quick, ""},
		{"before-ack", "between record and acknowledgement", before(ack), quick, ""},
	}
}

// momentNamed returns one of moments.
func momentNamed(name string) moment {
	all := moments()
	return all[slices.IndexFunc(all, func(m moment) bool { return m.name == name })]
}

// holdPost delays a POST, so that its worker can be broken in the middle. It is shorter than the worker's timeout.
const holdPost = 1500 * time.Millisecond

// posting is a task whose first POST meets a fault.
func posting(f anchortest.Fault) recipe {
	r := plain(0)
	r.plan.Submit = []anchortest.Fault{f}
	return r
}

func before(m link.Match) func(*link.Link) *link.Hold {
	return func(l *link.Link) *link.Hold { return l.Before(m) }
}

func after(m link.Match) func(*link.Link) *link.Hold {
	return func(l *link.Link) *link.Hold { return l.After(m) }
}

// record matches the write of a record in a state.
func record(state task.State) link.Match {
	return func(f link.Frame) (string, bool) {
		if !strings.HasPrefix(f.Subject, recordSubjects) {
			return "", false
		}
		rec, err := task.ParseRecord(f.Payload)
		return rec.TaskID, err == nil && rec.State == state
	}
}

// event matches the publishing of an event.
func event(f link.Frame) (string, bool) {
	var ev task.Event
	if f.Subject != resultSubject || json.Unmarshal(f.Payload, &ev) != nil {
		return "", false
	}
	return ev.TaskID, true
}

// ack matches the acknowledgement of a request.
func ack(f link.Frame) (string, bool) {
	return f.Subject, strings.HasPrefix(f.Subject, "$JS.ACK.TASKS.") && string(f.Payload) == "+ACK"
}

// windows returns a scenario for each moment and each way to break a worker there.
func windows() []scenario {
	kills := []scenario{{name: "kill-idle", about: "kill -9 of a worker without tasks", short: true, run: killIdle}}
	var stalls, cuts []scenario
	for _, m := range moments() {
		kills = append(kills, scenario{name: "kill-" + m.name, about: "kill -9 " + m.about, short: true, run: m.kill})
		short := m.name == "before-id" || m.name == "before-event"
		stalls = append(stalls, scenario{name: "stall-" + m.name, about: "SIGSTOP for longer than ACK_WAIT " + m.about, short: short, run: m.stall})
		cuts = append(cuts, scenario{name: "cut-" + m.name, about: "no link to NATS for longer than ACK_WAIT " + m.about, run: m.cut})
	}
	kills = append(kills, scenario{name: "kill-forgotten", about: "kill -9 when the event was just stored, until its stream has forgotten the id", short: true, run: killForgotten})
	return slices.Concat(kills, stalls, cuts)
}

// bring starts a worker and brings tasks into the window.
func (m moment) bring(ctx context.Context, w *world) *worker {
	victim := must(w.startWorker(ctx))
	var holds []*link.Hold
	for _, l := range victim.nats {
		if m.hold != nil {
			holds = append(holds, m.hold(l))
		}
	}
	check(w.ask(ctx, times(windowTasks, m.task)...))
	check(process.Until(ctx, "all tasks are "+m.name, 20*time.Second, func() error {
		n, err := m.inside(ctx, w, holds)
		if err == nil && n < windowTasks {
			err = fmt.Errorf("%d of %d are", n, windowTasks)
		}
		return err
	}))
	return victim
}

// inside returns how many tasks are in the window.
func (m moment) inside(ctx context.Context, w *world, holds []*link.Hold) (n int, err error) {
	for _, h := range holds {
		n += h.Held()
	}
	if m.hold != nil {
		return n, nil
	}
	if p := m.task.session; p.Create != nil || p.End != nil {
		return w.countSessions(ctx, func(s anchortest.SessionLog) bool { return p.End == nil || s.Deletes > 0 })
	}
	logs, err := w.api.Logs(ctx)
	for _, log := range logs {
		n += log.Posts
	}
	return n, err
}

func killIdle(ctx context.Context, w *world) {
	check(must(w.startWorker(ctx)).Kill())
	check(w.ask(ctx, times(windowTasks, plain(0))...))
	must(w.startWorker(ctx))
}

// kill kills the worker in the window and starts another.
func (m moment) kill(ctx context.Context, w *world) {
	check(m.bring(ctx, w).Kill())
	if m.code == "" {
		w.certain()
	}
	for i := range w.asked {
		if want := &w.asked[i].want; m.code != "" {
			want.Status, want.Code, want.Result = task.Failed, m.code, nil
		}
	}
	must(w.startWorker(ctx))
}

// killForgotten starts another worker when the results stream no longer recognizes the events that it holds. Workers do not
// change the duplicate window of a stream.
func killForgotten(ctx context.Context, w *world) {
	const window = time.Second
	must(w.js.CreateStream(ctx, jetstream.StreamConfig{Name: resultStream, Subjects: []string{resultSubject}, Replicas: w.size, Duplicates: window}))
	check(momentNamed("after-event").bring(ctx, w).Kill())
	w.certain()
	check(process.Pass(ctx, 2*window))
	must(w.startWorker(ctx))
	if got := must(w.stream(ctx, resultStream)).CachedInfo().Config.Duplicates; got != window {
		check(fmt.Errorf("%s has a duplicate window of %v, so nothing was tested", resultStream, got))
	}
}

// stall stops the worker in the window with SIGSTOP, and lets it continue once another has its tasks.
func (m moment) stall(ctx context.Context, w *world) {
	victim := m.bring(ctx, w)
	resume := must(victim.stall())
	must(w.startWorker(ctx))
	check(process.Pass(ctx, m.absence(w)))
	for _, l := range victim.nats {
		l.Heal() // the messages that the stalled worker repeats arrive
	}
	check(resume())
}

// cut takes the link to NATS away from the worker in the window until another has its tasks.
func (m moment) cut(ctx context.Context, w *world) {
	heal := m.bring(ctx, w).breakNATS("down", (*link.Link).Down)
	must(w.startWorker(ctx))
	check(process.Pass(ctx, m.absence(w)))
	heal()
}

const (
	// takeoverTime is longer than ACK_WAIT, so that another worker takes the tasks over.
	takeoverTime = ackWait + 2*time.Second

	// ownerGrace is how long a worker waits for the owner of a task that it finds in the middle of its submission: as
	// long as a call may take, and 5 s; see docs/design.md.
	ownerGrace = callTimeout + 5*time.Second
)

// absence is how long a worker is stopped or cut off: until another has finished its tasks.
func (m moment) absence(w *world) time.Duration {
	switch {
	case m.code != task.SubmissionUnknown:
		return takeoverTime
	case w.sessions:
		return takeoverTime + ownerGrace + fenceTime
	default:
		return takeoverTime + ownerGrace
	}
}
