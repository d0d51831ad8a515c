// Package verdict compares what was asked with what happened: whether a task was lost, run twice, or answered twice, and
// whether each answer is the right one. It knows neither NATS nor processes.
package verdict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// Task is what was asked for, and how it must end if its submission is in no doubt.
type Task struct {
	ID       string
	Status   task.State
	Code     task.Code       // of the error; empty for success
	Result   json.RawMessage // of success; nil: not checked
	Metadata json.RawMessage
	Retries  int       // how often it is run again after a failed run
	May      task.Code // it may fail with this code instead; empty: it may not
	NeverRun bool      // it must not be submitted

	Resubmit bool      // it may be submitted once more if the outcome is unknown
	Fence    bool      // likewise, if the agent of the first submission took no step
	Copies   int       // how often its request was published after the first time
	Invalid  bool      // it is refused and gets no record
	Certain  bool      // its submission is in no doubt, whatever was broken
	Requests []Request // the request and its copies, as their stream stored them
}

// Request is a request on its stream.
type Request struct {
	Seq         uint64
	From, Until time.Time // the stream stored it between the two
}

// Event is a message of the results stream.
type Event struct {
	task.Event
	Header map[string][]string // of the message
	Seq    uint64
	Replay bool // marked as the repetition of an event
}

// Evidence is everything that is stored once all tasks have finished.
type Evidence struct {
	Events   []Event
	Records  map[string]task.Record    // by task id
	Runs     map[string]anchortest.Log // what the API was asked, by task id
	Dead     map[string]int            // dead letters, by task id
	Left     uint64                    // requests that are still on their stream
	Core     Core                      // what a subscriber without JetStream got
	Sessions *Sessions                 // nil: the workers had SESSIONS=off
	// Forgotten reports whether a task's record was deleted on purpose after the task had finished; nil: none was.
	Forgotten func(taskID string) bool
	// BucketDeleted is when the bucket of records was deleted on purpose. What a record said of earlier submissions is lost
	// with it, and the task may end as submission_unknown.
	BucketDeleted []time.Time
	// Older says that there were workers of an older version. They give other message ids to repeated events, and a
	// subscriber without JetStream may get their events any number of times.
	Older bool
	// Doubt reports whether a fault may have made the outcome of a task's submission unknown. Runs has the faults of
	// the API itself.
	Doubt func(taskID string) bool
}

// Count is the verdict. It is good if there are no Problems.
type Count struct {
	Tasks      int
	Events     int      // of tasks, without repetitions for copies of a request
	ExtraRuns  int      // workflows beyond the first of a task
	Lost       int      // tasks without an event
	Duplicates int      // events too many
	Unknown    int      // events that say submission_unknown
	Explained  int      // those of them whose outcome was unknown indeed
	Copies     int      // how often the subscriber without JetStream got an event after the first time
	Excused    int      // those of them that a fault explains
	Problems   []string // broken promises, one line each
}

func (c *Count) complain(format string, args ...any) {
	c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
}

// Judge compares the tasks with the evidence.
func Judge(tasks []Task, e Evidence) Count {
	c := Count{Tasks: len(tasks)}
	first, replays := c.sort(e.Events)
	for _, t := range tasks {
		c.judge(t, e, first[t.ID], replays[t.ID])
		delete(first, t.ID)
	}
	c.judgeCore(e)
	for id := range first {
		c.complain("%s: an event of an unknown task", id)
	}
	if e.Left > 0 {
		c.complain("%d requests are left on their stream", e.Left)
	}
	slices.Sort(c.Problems)
	return c
}

// sort returns the events by task, and the repeated events by task.
func (c *Count) sort(events []Event) (first, replays map[string][]Event) {
	first, replays = map[string][]Event{}, map[string][]Event{}
	for _, ev := range events {
		if ev.Replay {
			replays[ev.TaskID] = append(replays[ev.TaskID], ev)
			continue
		}
		c.Events++
		first[ev.TaskID] = append(first[ev.TaskID], ev)
	}
	return first, replays
}

func (c *Count) judge(t Task, e Evidence, events, replays []Event) {
	c.judgeRuns(t, e.Runs[t.ID])
	if len(events) == 0 {
		c.Lost++
		c.complain("%s: no event; its record is %s", t.ID, describe(e.Records[t.ID]))
		return
	}
	mayRepeat := t.Copies
	if e.Older {
		mayRepeat *= 2 // a copy that both versions were delivered
	}
	if more := len(events) - 1 + max(0, len(replays)-mayRepeat); more > 0 {
		c.Duplicates += more
		c.complain("%s: %d events too many", t.ID, more)
	}
	c.judgeEvent(t, e, events[0])
	c.judgeRecord(t, e, events[0])
	c.judgeSessions(t, e, events[0])
	for _, ev := range slices.Concat(events, replays) {
		c.judgeForm(t, ev, e.Older)
	}
	for _, ev := range replays {
		c.judgeReplay(ev, events[0])
	}
}

func (c *Count) judgeRuns(t Task, log anchortest.Log) {
	most := 1 + t.Retries
	c.ExtraRuns += max(0, log.Accepted-most)
	if t.Resubmit {
		most++
	}
	if t.Fence {
		most *= 2 // judgeFence says when
	}
	if t.NeverRun {
		most = 0
	}
	if log.Accepted > most {
		c.complain("%s: run %d times, at most %d allowed", t.ID, log.Accepted, most)
	}
}

// judgeEvent checks the outcome that the event reports. submission_unknown is right if there is a reason for doubt.
func (c *Count) judgeEvent(t Task, e Evidence, ev Event) {
	log := e.Runs[t.ID]
	code := codeOf(ev)
	switch {
	case code == task.SubmissionUnknown:
		c.Unknown++
		if t.Certain || log.Doubtful == 0 && !e.Doubt(t.ID) && !e.lostRecord(t, ev) {
			c.complain("%s: submission_unknown, and nothing left it in doubt (%d POSTs, %d accepted): %s", t.ID, log.Posts, log.Accepted, ev.Error.Message)
			break
		}
		c.Explained++
	case code != "" && code == t.May:
		// It was canceled, or its session ended, before it was done.
	case ev.Status != t.Status || code != t.Code:
		c.complain("%s: %s %s, want %s %s: %+v", t.ID, ev.Status, code, t.Status, t.Code, ev.Error)
	case t.Result != nil && !same(ev.Result, t.Result):
		c.complain("%s: result %.200s, want %.200s", t.ID, ev.Result, t.Result)
	}
	if !same(ev.Metadata, t.Metadata) {
		c.complain("%s: metadata %s, want %s", t.ID, ev.Metadata, t.Metadata)
	}
	if ev.WorkflowID != "" && !slices.Contains(log.Workflows, ev.WorkflowID) {
		c.complain("%s: workflow %s was never started for it", t.ID, ev.WorkflowID)
	}
	if log.Posts > ev.Attempts && !e.lostRecord(t, ev) {
		c.complain("%s: %d POSTs, and its event reports %d", t.ID, log.Posts, ev.Attempts)
	}
}

// lostRecord reports whether the bucket was deleted between the task's request and its event, or so shortly before that it was
// created again only after the request.
func (e Evidence) lostRecord(t Task, ev Event) bool {
	return len(t.Requests) > 0 && slices.ContainsFunc(e.BucketDeleted, func(at time.Time) bool {
		return at.After(t.Requests[0].From.Add(-5*time.Second)) && at.Before(ev.FinishedAt.Add(time.Second))
	})
}

// judgeRecord compares the record with the event. A refused request has a dead letter instead.
func (c *Count) judgeRecord(t Task, e Evidence, ev Event) {
	if t.Invalid {
		c.judgeDead(t, e, ev)
		return
	}
	if ev.Error != nil && !e.Older && !e.lostRecord(t, ev) {
		c.judgeDead(t, e, ev)
	}
	rec, found := e.Records[t.ID]
	if !found && e.Forgotten != nil && e.Forgotten(t.ID) {
		return
	}
	if rec.State != ev.Status || rec.ResultSeq != ev.Seq || rec.ErrorCode != codeOf(ev) {
		c.complain("%s: its record is %s, and its event %d %s %s", t.ID, describe(rec), ev.Seq, ev.Status, codeOf(ev))
	}
}

// judgeDead checks that the request of a failed task is kept once. Workers of two versions may each keep it, because they
// give it different message ids.
func (c *Count) judgeDead(t Task, e Evidence, ev Event) {
	if n := e.Dead[t.ID]; n == 0 || n > 2 || n == 2 && !e.Older {
		c.complain("%s: %d dead letters of a task that ended as %s, want 1", t.ID, e.Dead[t.ID], codeOf(ev))
	}
}

func describe(r task.Record) string {
	if r.TaskID == "" {
		return "absent"
	}
	return fmt.Sprintf("%s %s of %s, epoch %d, event %d", r.State, r.ErrorCode, r.Owner, r.Epoch, r.ResultSeq)
}

func codeOf(ev Event) task.Code {
	if ev.Error == nil {
		return ""
	}
	return ev.Error.Code
}

// same reports whether two JSON values are equal.
func same(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
