//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/mattn/go-runewidth"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// quietTime is how long nothing happens before the demo says what the worker waits for.
	quietTime = 5 * time.Second

	// startup is the maximum time for the worker to create its streams.
	startup = 30 * time.Second

	// ageWidth is the width of the time since a request.
	ageWidth = 8

	// workflowWidth is the number of columns for a workflow id. An id of the API has 101 characters; its
	// beginning is enough to distinguish two.
	workflowWidth = 40
)

// show prints what happens to tasks. It sees what every user can see: changes in the tracker's bucket, and
// events. One goroutine uses it.
type show struct {
	t       *terminal
	client  *client
	records <-chan jetstream.KeyValueEntry
	events  <-chan operator.Event
	states  map[string]task.State // the last printed state of each unfinished task
	tasks   []demoTask            // the demo's own unfinished tasks
	counts  map[task.State]int    // of the demo's own finished tasks
	wrong   error                 // names the tasks that did not end as expected

	explain   func(context.Context) string // why tasks wait, according to the worker; empty if it does not know
	explained string                       // the explanation that was printed last
}

// newShow waits until the worker has created the streams, and begins to watch them. What happens from then
// on is shown, and nothing that a folder of --data holds from an earlier demo.
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
		states: map[string]task.State{}, counts: map[task.State]int{}, tasks: slices.Clone(tasks), explain: explain,
	}, nil
}

// awaitBucket waits for the tracker's bucket, up to startup. The worker creates it after the streams of
// requests and results, so these exist as well. The error is that of the last attempt.
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
			return nil, fmt.Errorf("wait for the worker to create bucket %s: %w", c.cfg.Tracker.Bucket, err)
		}
	}
}

// untilTasksEnd publishes the demo's tasks and prints what happens until all have finished. The error names those that did
// not end as expected.
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
		s.line(each.id, began, statusCell("", "  queued"), "")
	}
	for len(s.tasks) > 0 {
		if !s.printNext(ctx) {
			return ctx.Err()
		}
	}
	s.t.printf("\nDone in %s: %d succeeded, %d failed", rounded(time.Since(began)), s.counts[task.Succeeded], s.counts[task.Failed])
	if s.wrong == nil {
		s.t.printf(", %s", color.GreenString("as expected"))
	}
	s.t.printf("\n")
	return s.wrong
}

// untilStopped prints what happens until ctx ends.
func (s *show) untilStopped(ctx context.Context) {
	for s.printNext(ctx) {
	}
}

// printNext prints the next thing that happens or, if nothing happens for a while, why tasks wait. It returns false when
// ctx has ended.
func (s *show) printNext(ctx context.Context) bool {
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

// explainWait prints why tasks wait, once for each reason. It asks only while a task is unfinished, because
// a worker without tasks waits for nothing.
func (s *show) explainWait(ctx context.Context) {
	if len(s.tasks) == 0 && len(s.states) == 0 {
		return
	}
	if why := s.explain(ctx); why != s.explained {
		s.explained = why
		if why != "" {
			s.t.printf("%8s  %s\n", "", color.YellowString("%s", "the worker is waiting: "+oneLine(why, messageWidth)))
		}
	}
}

// record prints a change of state, except for the last one, which the event reports. A record is also
// written without a change of state, for example when another worker takes over the task. Each state is
// printed once.
func (s *show) record(entry jetstream.KeyValueEntry) {
	if entry == nil || entry.Operation() != jetstream.KeyValuePut {
		return
	}
	rec, err := task.ParseRecord(entry.Value())
	if err != nil || rec.State.Ended() || s.states[rec.TaskID] == rec.State {
		return
	}
	s.states[rec.TaskID] = rec.State
	s.line(rec.TaskID, rec.RequestedAt, statusCell(rec.State, "  "+string(rec.State)), faint(oneLine(rec.WorkflowID, min(workflowWidth, s.detailWidth(rec.TaskID)))))
}

// event prints how a task ended, and judges it if it is one of the demo's own. Tasks that the user submits
// meanwhile are only printed.
func (s *show) event(ev operator.Event) {
	delete(s.states, ev.TaskID)
	s.line(ev.TaskID, ev.RequestedAt, statusCell(ev.Status, describeStatus(ev.Event)), answerText(ev, s.detailWidth(ev.TaskID)))
	for i, each := range s.tasks {
		if each.id == ev.TaskID {
			s.counts[ev.Status]++
			s.wrong = errors.Join(s.wrong, each.judge(ev.Event))
			s.tasks = slices.Delete(s.tasks, i, i+1)
			return
		}
	}
}

// detailWidth is the width of the detail in the line of a task, so that the line fits the terminal.
func (s *show) detailWidth(id string) int {
	const whole, least = 100, 10
	if r := s.t.room(); r.isTerminal() {
		return max(least, r.columns-ageWidth-runewidth.StringWidth(taskCell(id))-statusWidth-3*columnGap)
	}
	return whole
}

// line prints the time since the request, the task, its status and a detail. The parts are padded to
// columns, and the blanks at the end of the line are removed.
func (s *show) line(id string, requested time.Time, status, detail string) {
	age := fmt.Sprintf("%*s", ageWidth, "+"+rounded(time.Since(requested)))
	line := fmt.Sprintf("%s  %s  %s  %s", faint(age), taskCell(id), status, detail)
	s.t.printf("%s\n", strings.TrimRight(line, " "))
}
