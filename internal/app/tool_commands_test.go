package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// toolCommand is what a command of the tool does with a queue.
type toolCommand func(ctx context.Context, q operator.Queue) error

// commands are the commands of the tool, without their output. Each can run once, after prepareCommands.
func (g *guarded) commands() map[string]toolCommand {
	return map[string]toolCommand{
		"capstan submit": func(ctx context.Context, q operator.Queue) error {
			_, err := q.JS.Publish(ctx, "tasks.request", g.request("single", done))
			return err
		},
		"capstan submit --wait":      g.submitsAndFollows("waited", false),
		"capstan submit -f":          g.submitsAFile,
		"capstan submit -f --wait":   g.submitsAndFollows("batch", true),
		"capstan watch":              readsEvents,
		"capstan watch --until-done": followsABatch,
		"capstan list": func(ctx context.Context, q operator.Queue) error {
			_, _, err := inspect.List(ctx, q, inspect.Listing{})
			return err
		},
		"capstan get":           finds,
		"capstan why":           explains,
		"capstan status":        seesStatus,
		"capstan cancel":        g.cancels,
		"capstan cancel --undo": g.takesBack,
		"capstan pause":         g.pauses,
		"capstan resume":        g.resumes,
		"capstan redrive":       redrives,
		"capstan dashboard":     g.shows,
	}
}

// prepareCommands starts a worker and has it run tasks: one that runs on, one that has ended, one that failed, and a request
// that is refused.
func (g *guarded) prepareCommands() *worker {
	g.t.Helper()
	p := g.start("w1", g.guardedEnv()...)
	natstest.Eventually(g.t, func() error { return p.logged("worker is ready") })
	g.submit("runs", blocked)
	g.submit("ended", done, `"batch":"night"`)
	g.submit("failed", anchortest.Plan{State: "FAILED", Error: "no"})
	g.publish("{broken")
	g.submit("unwanted", blocked)
	g.submit("unwanted-too", blocked, `"batch":"unwanted"`)
	g.waitEvents(3)
	g.waitState("runs", task.Running)
	natstest.Eventually(g.t, func() error { // a letter is stored after the event
		if n := len(g.bodies("TASK_DEAD")); n != 2 {
			return fmt.Errorf("got %d dead letters, want 2", n)
		}
		all, err := fleet.All(g.t.Context(), g.nc)
		if err == nil && len(all) != 1 { // it joins after its first pull
			err = fmt.Errorf("got %d workers, want 1", len(all))
		}
		return err
	})
	return p
}

// batch returns n requests of a batch.
func (g *guarded) batch(name string, n int, q operator.Queue) (*batch.Batch, error) {
	var lines []string
	for i := range n {
		lines = append(lines, string(g.request(fmt.Sprint(name, i), done)))
	}
	return batch.Read(batch.File{Name: "a.jsonl", Data: []byte(strings.Join(lines, "\n")), Format: batch.JSONLines, Batch: name}, q.Config)
}

// submitsAFile looks for few tasks, which is done one by one, and for many, and sends the few.
func (g *guarded) submitsAFile(ctx context.Context, q operator.Queue) error {
	for _, n := range []int{300, 3} {
		b, err := g.batch("file", n, q)
		if err != nil {
			return err
		}
		sub, err := batch.Prepare(ctx, q, b)
		if err != nil {
			return err
		}
		if n < 10 {
			return sub.Send(ctx, n)
		}
	}
	return nil
}

// submitsAndFollows sends a batch, and waits for its events. Only with look does it look for its tasks before.
func (g *guarded) submitsAndFollows(name string, look bool) toolCommand {
	return func(ctx context.Context, q operator.Queue) error {
		if !look {
			if _, err := q.JS.Publish(ctx, "tasks.request", g.request(name, done)); err != nil {
				return err
			}
			return readsEvents(ctx, q)
		}
		b, err := g.batch(name, 3, q)
		if err != nil {
			return err
		}
		sub, err := batch.Prepare(ctx, q, b)
		if err != nil {
			return err
		}
		reading, stop := context.WithCancel(ctx)
		defer stop()
		results, err := sub.Follow(reading)
		if err != nil {
			return err
		}
		return errors.Join(sub.Send(ctx, 3), results.Wait(ctx, 3, nil))
	}
}

// readsEvents reads the stored events, as the commands do that wait for some.
func readsEvents(ctx context.Context, q operator.Queue) error {
	read := 0
	err := q.Events(jetstream.OrderedConsumerConfig{}).Read(ctx, func(operator.Event) { read++ })
	if err == nil && read < 3 {
		err = fmt.Errorf("got %d events, want 3 or more", read)
	}
	return err
}

func followsABatch(ctx context.Context, q operator.Queue) error {
	end, err := inspect.FollowBatch(ctx, q, "night", jetstream.OrderedConsumerConfig{}, func(operator.Event) {})
	if err == nil && (end != inspect.BatchEnd{Tasks: 1}) {
		err = fmt.Errorf("got %+v, want one task that succeeded", end)
	}
	return err
}

// finds looks for a task that runs, one that has ended, one that was refused, and one that never was.
func finds(ctx context.Context, q operator.Queue) error {
	nextPoll := func(ctx context.Context, id string) time.Time {
		status, _, _ := fleet.Task(ctx, q.Conn, id)
		return status.NextPoll
	}
	for id, want := range map[string]inspect.State{"runs": "running", "ended": "succeeded", "TASKS-4": inspect.Refused, "nobody": inspect.Unknown} {
		if found, err := inspect.Find(ctx, q, id, nextPoll); err != nil || found.State != want {
			return fmt.Errorf("task %s: got %s, %w, want %s", id, found.State, err, want)
		}
	}
	return nil
}

func explains(ctx context.Context, q operator.Queue) error {
	text, _, err := inspect.Why(ctx, q, "runs", nil)
	if err == nil && !strings.HasPrefix(text, "runs has run since ") {
		err = fmt.Errorf("got %s, want since when it runs", text)
	}
	return err
}

// seesStatus reads the status of everything, and of a batch. What it may not read is only a note.
func seesStatus(ctx context.Context, q operator.Queue) error {
	for _, name := range []string{"", "night"} {
		if err := whileUnanswered(func() (int, error) {
			s, err := inspect.NewView(q, name).Status(ctx)
			if err == nil && len(s.Notes) > 0 {
				err = fmt.Errorf("got the notes %q, want none", s.Notes)
			}
			return len(s.Workers), err
		}); err != nil {
			return err
		}
	}
	return nil
}

// whileUnanswered calls ask until the worker is among those that it finds: a busy one may not answer in time.
func whileUnanswered(ask func() (workers int, err error)) error {
	for range 20 {
		if workers, err := ask(); err != nil || workers == 1 {
			return err
		}
	}
	return errors.New("the worker never answered")
}

func (*guarded) cancels(ctx context.Context, q operator.Queue) error {
	_, err := steer.Cancel(ctx, q, []string{"unwanted"}, task.Cancellation{By: "ada"})
	_, batchErr := steer.CancelBatch(ctx, q, "unwanted", task.Cancellation{By: "ada"})
	return errors.Join(err, batchErr)
}

// takesBack takes back what somebody else has canceled.
func (g *guarded) takesBack(ctx context.Context, q operator.Queue) error {
	if err := g.cancels(ctx, g.queue(g.js)); err != nil {
		return err
	}
	undone, err := steer.UndoCancel(ctx, q, []string{"unwanted", "ended"}) // the second has a batch
	if err == nil && undone[0].Was == nil {
		err = errors.New("got no cancellation, want the one that was taken back")
	}
	was, batchErr := steer.UndoCancelBatch(ctx, q, "unwanted")
	if batchErr == nil && was == nil {
		batchErr = errors.New("got no cancellation of the batch, want the one that was taken back")
	}
	return errors.Join(err, batchErr)
}

// pauses pauses, and then resumes as somebody else.
func (g *guarded) pauses(ctx context.Context, q operator.Queue) error {
	until, err := steer.PauseUntil(ctx, q, time.Hour)
	if err != nil {
		return err
	}
	if _, err := steer.Pause(ctx, q, task.Pause{Until: until}); err != nil {
		return err
	}
	_, err = steer.Resume(ctx, g.queue(g.js))
	return err
}

// resumes resumes after somebody else has paused.
func (g *guarded) resumes(ctx context.Context, q operator.Queue) error {
	if _, err := steer.Pause(ctx, g.queue(g.js), task.Pause{}); err != nil {
		return err
	}
	p, err := steer.Resume(ctx, q)
	if err == nil && p == nil {
		err = errors.New("got no pause, want the one that was ended")
	}
	return err
}

// shows reads what the pages show, and acts as their visitors do.
func (g *guarded) shows(ctx context.Context, q operator.Queue) error {
	b := board.New(q)
	if err := whileUnanswered(func() (int, error) {
		err := b.Refresh(ctx)
		return len(b.Snapshot().Status("").Workers), err
	}); err != nil {
		return err
	}
	s, letters := b.Snapshot().Status(""), len(b.LetterGroups(board.LetterFilter{}))
	if len(s.Notes) > 0 || s.Running == 0 || letters == 0 {
		return fmt.Errorf("got the notes %q, %d running and %d kinds of letters, want no notes and some of each", s.Notes, s.Running, letters)
	}
	_, found, err := b.Why(ctx, "runs", nil, inspect.OnPage)
	if err != nil {
		return err
	}
	if _, err := b.Request(ctx, found); err != nil {
		return err
	}
	_, _, err = b.Why(ctx, "nobody", nil, inspect.OnPage)
	_, cancelErr := steer.Cancel(ctx, q, []string{"absent"}, task.Cancellation{By: "ada"})
	_, planErr := redrive.NewPlan(ctx, q, redrive.Filter{Tasks: []string{"failed"}}, nil)
	return errors.Join(err, cancelErr, planErr, g.pauses(ctx, q))
}

func redrives(ctx context.Context, q operator.Queue) error {
	plan, err := redrive.NewPlan(ctx, q, redrive.Filter{Tasks: []string{"failed"}}, nil)
	if err != nil || len(plan.Tasks) != 1 {
		return fmt.Errorf("got %+v, %w, want the task that failed", plan, err)
	}
	_, err = plan.Send(ctx, 0, nil)
	return err
}
