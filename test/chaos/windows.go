package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/link"
)

// windowTasks is how many tasks stand in a window together when the worker is broken.
const windowTasks = 5

// moment is a moment in the life of a task to break its worker at.
type moment struct {
	name  string
	about string
	hold  func(*link.Link) *link.Hold // stops a task there; nil where the API does
	task  recipe
	code  task.Code // how a task ends whose worker is killed there
}

// moments are all that differ in what the next worker finds, in the order in which a task meets them.
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

// momentNamed is one of moments.
func momentNamed(name string) moment {
	all := moments()
	return all[slices.IndexFunc(all, func(m moment) bool { return m.name == name })]
}

// holdPost is how long a POST is kept waiting to be killed: not longer than the worker waits, which has
// to be broken in the middle.
const holdPost = 1500 * time.Millisecond

// posting is a task whose first POST meets a delay.
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

// bring starts a worker and brings tasks into the window.
func (m moment) bring(ctx context.Context, w *world) (*worker, error) {
	victim, err := w.startWorker(ctx)
	if err != nil {
		return nil, err
	}
	var holds []*link.Hold
	for _, l := range victim.nats {
		if m.hold != nil {
			holds = append(holds, m.hold(l))
		}
	}
	if err := w.ask(ctx, times(windowTasks, m.task)...); err != nil {
		return nil, err
	}
	return victim, process.Until(ctx, "all tasks are "+m.name, 20*time.Second, func() error {
		n, err := m.inside(ctx, w, holds)
		if err == nil && n < windowTasks {
			err = fmt.Errorf("%d of %d are", n, windowTasks)
		}
		return err
	})
}

// inside is how many tasks are in the window.
func (m moment) inside(ctx context.Context, w *world, holds []*link.Hold) (int, error) {
	n := 0
	for _, h := range holds {
		n += h.Held()
	}
	if m.hold != nil {
		return n, nil
	}
	logs, err := w.api.logs(ctx)
	for _, log := range logs {
		n += log.Posts
	}
	return n, err
}

// kills are the windows with kill -9, and a kill of a worker that has nothing to do.
func kills() []scenario {
	all := []scenario{{name: "kill-idle", about: "kill -9 of a worker that waits for tasks", short: true, run: killIdle}}
	for _, m := range moments() {
		all = append(all, scenario{name: "kill-" + m.name, about: "kill -9 " + m.about, short: true, run: m.kill})
	}
	return append(all, scenario{name: "kill-forgotten", about: "kill -9 when the event was just stored, until its stream has forgotten the id", short: true, run: killForgotten})
}

func killIdle(ctx context.Context, w *world) error {
	victim, err := w.startWorker(ctx)
	if err != nil {
		return err
	}
	if err := victim.Kill(); err != nil {
		return err
	}
	if err := w.ask(ctx, times(windowTasks, plain(0))...); err != nil {
		return err
	}
	_, err = w.startWorker(ctx)
	return err
}

// kill kills the worker in the window, lets another go on, and looks whether the tasks end as they have to.
func (m moment) kill(ctx context.Context, w *world) error {
	victim, err := m.bring(ctx, w)
	if err != nil {
		return err
	}
	if err := victim.Kill(); err != nil {
		return err
	}
	for i := range w.asked {
		if m.code != "" {
			w.asked[i].want.Status, w.asked[i].want.Code, w.asked[i].want.Result = task.Failed, m.code, nil
		} else {
			w.asked[i].want.Certain = true
		}
	}
	_, err = w.startWorker(ctx)
	return err
}

// killForgotten lets another worker go on when the results stream takes the events that it holds for new ones.
// Workers leave the duplicate window of a stream as they find it.
func killForgotten(ctx context.Context, w *world) error {
	const window = time.Second
	_, err := w.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: resultStream, Subjects: []string{resultSubject}, Replicas: w.size, Duplicates: window,
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", resultStream, err)
	}
	victim, err := momentNamed("after-event").bring(ctx, w)
	if err != nil {
		return err
	}
	if err := victim.Kill(); err != nil {
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	if err := process.Pass(ctx, 2*window); err != nil {
		return err
	}
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	s, err := w.stream(ctx, resultStream)
	if err == nil && s.CachedInfo().Config.Duplicates != window {
		err = fmt.Errorf("%s has a duplicate window of %v, and nothing was tried", resultStream, s.CachedInfo().Config.Duplicates)
	}
	return err
}

// stalls are the windows with SIGSTOP for longer than ACK_WAIT, and then SIGCONT.
func stalls() []scenario {
	var all []scenario
	for _, m := range moments() {
		short := m.name == "before-id" || m.name == "before-event"
		all = append(all, scenario{name: "stall-" + m.name, about: "SIGSTOP for longer than ACK_WAIT " + m.about, short: short, run: m.stall})
	}
	return all
}

// ownerGrace is how long a task that is found in the middle of its submission is watched: as long as a
// call may take, and 5 s; see docs/design.md.
const ownerGrace = callTimeout + 5*time.Second

// awayLonger is longer than ACK_WAIT, so that another worker takes the tasks over.
const awayLonger = ackWait + 2*time.Second

func (m moment) stall(ctx context.Context, w *world) error {
	victim, err := m.bring(ctx, w)
	if err != nil {
		return err
	}
	resume, err := victim.stall()
	if err != nil {
		return err
	}
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	if err := process.Pass(ctx, m.away()); err != nil {
		return err
	}
	for _, l := range victim.nats {
		l.Heal() // what the stalled worker repeats arrives
	}
	return resume()
}

// cuts are the windows with a link to NATS that is down for longer than ACK_WAIT.
func cuts() []scenario {
	var all []scenario
	for _, m := range moments() {
		all = append(all, scenario{name: "cut-" + m.name, about: "no link to NATS for longer than ACK_WAIT " + m.about, run: m.cut})
	}
	return all
}

func (m moment) cut(ctx context.Context, w *world) error {
	victim, err := m.bring(ctx, w)
	if err != nil {
		return err
	}
	heal := victim.breakNATS("down", (*link.Link).Down)
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	if err := process.Pass(ctx, m.away()); err != nil {
		return err
	}
	heal()
	return nil
}

// away is how long a worker is away that is to come back: until another has ended its tasks, which takes
// longer where that one first waits for news of a submission.
func (m moment) away() time.Duration {
	if m.code == task.SubmissionUnknown {
		return awayLonger + ownerGrace
	}
	return awayLonger
}
