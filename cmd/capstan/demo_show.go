//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// quietTime is how long nothing may happen before the demo says why.
const quietTime = 5 * time.Second

// startup is how long the worker may take to make its streams.
const startup = 30 * time.Second

// workflowWidth is how much of a workflow's id is shown, in characters: enough to tell one from another.
const workflowWidth = 40

// show prints what happens to tasks. It sees what any user can: changes in the tracker's bucket, and
// events.
type show struct {
	t       *terminal
	client  *client
	records <-chan jetstream.KeyValueEntry
	events  <-chan received
	states  map[string]task.State // printed last of each task that has not ended
	tasks   []demoTask            // of the demo, not ended yet
	wrong   error                 // the ones that did not end as they should

	explain func(context.Context) string // why tasks wait, as the worker says; empty where it does not know
	told    string                       // what was printed last of that
}

// newShow waits for the worker to make the streams and begins to watch them.
func (c *client) newShow(ctx context.Context, t *terminal, tasks []demoTask, explain func(context.Context) string) (*show, error) {
	bucket, err := c.awaitBucket(ctx)
	if err != nil {
		return nil, err
	}
	watcher, err := bucket.WatchAll(ctx, jetstream.UpdatesOnly())
	if err != nil {
		return nil, fmt.Errorf("watch bucket %s: %w", c.cfg.Tracker.Bucket, err)
	}
	events, err := c.follow(ctx, fromNow())
	if err != nil {
		return nil, err
	}
	return &show{
		t: t, client: c, records: watcher.Updates(), events: events,
		states: map[string]task.State{}, tasks: slices.Clone(tasks), explain: explain,
	}, nil
}

// awaitBucket returns the tracker's bucket once it is there. The worker makes it after the streams of
// requests and results.
func (c *client) awaitBucket(ctx context.Context) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		bucket, err := c.js.KeyValue(ctx, c.cfg.Tracker.Bucket)
		if err == nil {
			return bucket, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the worker to make bucket %s: %w", c.cfg.Tracker.Bucket, err)
		}
	}
}

// untilTasksEnd publishes the demo's tasks and prints what happens until all have ended. The error names
// those that did not end as they should.
func (s *show) untilTasksEnd(ctx context.Context) error {
	began := time.Now()
	for _, each := range s.tasks {
		request, err := each.request()
		if err != nil {
			return err
		}
		if _, err := s.client.publish(ctx, request); err != nil {
			return err
		}
		s.line(each.id, began, status(s.t, "queued"), "")
	}
	for len(s.tasks) > 0 {
		if !s.next(ctx) {
			return ctx.Err()
		}
	}
	if s.wrong == nil {
		s.t.printf("\n%s in %s\n", s.t.paint(green, "All three ended as they should,"), short(time.Since(began)))
	}
	return s.wrong
}

// untilStopped prints what happens until ctx ends.
func (s *show) untilStopped(ctx context.Context) error {
	for s.next(ctx) {
	}
	return ctx.Err()
}

// next prints the next thing that happens, or after a while without one why tasks wait. It returns false when ctx has
// ended.
func (s *show) next(ctx context.Context) bool {
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	select {
	case entry := <-s.records:
		s.record(entry)
	case ev := <-s.events:
		s.event(ev)
	case <-quiet.C:
		s.explainWait(ctx)
	case <-ctx.Done():
		return false
	}
	return true
}

// explainWait prints why tasks wait, once for each reason.
func (s *show) explainWait(ctx context.Context) {
	if len(s.tasks) == 0 && len(s.states) == 0 {
		return
	}
	if why := s.explain(ctx); why != s.told {
		s.told = why
		if why != "" {
			s.t.printf("%8s  %s\n", "", s.t.paint(yellow, "the worker waits: "+oneLine(why, messageWidth)))
		}
	}
}

// record prints a change of state, but for the last one, which the event tells.
func (s *show) record(entry jetstream.KeyValueEntry) {
	if entry == nil || entry.Operation() != jetstream.KeyValuePut {
		return
	}
	rec, err := task.ParseRecord(entry.Value())
	if err != nil || rec.State.Ended() || s.states[rec.TaskID] == rec.State {
		return
	}
	s.states[rec.TaskID] = rec.State
	s.line(rec.TaskID, rec.RequestedAt, status(s.t, string(rec.State)), s.t.paint(dim, oneLine(rec.WorkflowID, workflowWidth)))
}

// event prints how a task ended.
func (s *show) event(ev received) {
	delete(s.states, ev.TaskID)
	s.line(ev.TaskID, ev.RequestedAt, outcome(s.t, ev.Event), ev.answer(s.t))
	for i, each := range s.tasks {
		if each.id == ev.TaskID {
			s.wrong = errors.Join(s.wrong, each.judge(ev.Event))
			s.tasks = slices.Delete(s.tasks, i, i+1)
			return
		}
	}
}

// line prints how long after its request what happened to a task.
func (s *show) line(id string, requested time.Time, what, detail string) {
	since := fmt.Sprintf("%8s", "+"+short(time.Since(requested)))
	line := fmt.Sprintf("%s  %-*s  %s  %s", s.t.paint(dim, since), idWidth, oneLine(id, messageWidth), what, detail)
	s.t.printf("%s\n", strings.TrimRight(line, " "))
}

// status is a state of a task that goes on, as wide as the column.
func status(t *terminal, state string) string { return cell(t, yellow, "  "+state) }
