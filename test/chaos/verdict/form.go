package verdict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// judgeForm holds an event against itself: what is said twice is the same, and in order.
func (c *Count) judgeForm(t Task, ev Event, older bool) {
	c.judgeID(t, ev, older)
	c.judgeHeaders(ev)
	if ev.Error != nil && ev.Error.Retryable != ev.Error.Code.Retryable() {
		c.complain("%s: %s is retryable: %t, want %t", ev.TaskID, ev.Error.Code, ev.Error.Retryable, ev.Error.Code.Retryable())
	}
	submitted := ev.SubmittedAt
	if submitted.IsZero() { // it never was
		submitted = ev.RequestedAt
	}
	if submitted.Before(ev.RequestedAt) || ev.FinishedAt.Before(submitted) {
		c.complain("%s: requested %v, submitted %v, finished %v: out of order", ev.TaskID, ev.RequestedAt, ev.SubmittedAt, ev.FinishedAt)
	}
}

// judgeID looks at the message id. The task's own event has the task id. An event beside it has the task id, the
// sequence of the request that it answers, and when the stream stored that request in Unix milliseconds, with
// slashes between them.
func (c *Count) judgeID(t Task, ev Event, older bool) {
	id := ev.header("Nats-Msg-Id")
	if !ev.Replay && codeOf(ev) != task.DuplicateTask {
		if id != t.ID {
			c.complain("%s: event %d has the message id %q, want %q", t.ID, ev.Seq, id, t.ID)
		}
		return
	}
	if !slices.ContainsFunc(t.Requests, func(r Request) bool { return r.Names(t.ID, id, older) }) {
		c.complain("%s: event %d has the message id %q, want %s/, the sequence of one of its requests, /, and when that was stored", t.ID, ev.Seq, id, t.ID)
	}
}

// Names reports whether a message id is that of an event beside the task's own that answers this request. Workers of
// an older version put a dot for the slash and no time.
func (r Request) Names(taskID, id string, older bool) bool {
	if older && id == fmt.Sprintf("%s.%d", taskID, r.Seq) {
		return true
	}
	text, ok := strings.CutPrefix(id, fmt.Sprintf("%s/%d/", taskID, r.Seq))
	stored, err := strconv.ParseInt(text, 10, 64)
	return ok && err == nil && stored >= r.From.UnixMilli() && stored <= r.Until.UnixMilli()
}

// judgeHeaders holds the CloudEvents attributes against what the event says.
func (c *Count) judgeHeaders(ev Event) {
	for name, want := range map[string]string{
		"ce-specversion": "1.0",
		"ce-id":          ev.header("Nats-Msg-Id"),
		"ce-type":        "dev.capstan.task." + string(ev.Status),
		"ce-subject":     ev.TaskID,
		"content-type":   "application/json",
	} {
		if got := ev.header(name); got != want {
			c.complain("%s: event %d has %s %q, want %q", ev.TaskID, ev.Seq, name, got, want)
		}
	}
	text := ev.header("ce-time")
	if at, err := time.Parse(time.RFC3339, text); err != nil || !at.Equal(ev.FinishedAt) {
		c.complain("%s: event %d has ce-time %q, want %v", ev.TaskID, ev.Seq, text, ev.FinishedAt)
	}
}

// judgeReplay holds the repetition of an event against the event.
func (c *Count) judgeReplay(ev, first Event) {
	if ev.Status != first.Status || codeOf(ev) != codeOf(first) || !same(ev.Result, first.Result) {
		c.complain("%s: event %d repeats %s %s %.200s as %s %s %.200s", ev.TaskID, ev.Seq,
			first.Status, codeOf(first), first.Result, ev.Status, codeOf(ev), ev.Result)
	}
}

// header is a header's value; empty where it is not there once. The names of NATS's headers are as they are
// spelled.
func (ev Event) header(name string) string {
	if values := ev.Header[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
