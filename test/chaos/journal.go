package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/link"
)

// recordSubjects is where the workers write their records.
const recordSubjects = "$KV.task_tracker."

// span is a period. If it has not ended, until is zero.
type span struct{ from, until time.Time }

func (s span) overlaps(o span) bool {
	return (s.until.IsZero() || !s.until.Before(o.from)) && (o.until.IsZero() || !o.until.Before(s.from))
}

// write is a write of a record that the server has accepted.
type write struct {
	at     time.Time
	worker string
	state  task.State
}

// journal notes each write of a record that passes the workers' links to NATS. It derives from them the windows of doubt:
// from the write before a submission until the write of its outcome.
type journal struct {
	mu      sync.Mutex
	pending map[string]pendingWrite // by the worker's name and the reply subject
	writes  map[string][]write      // by task id
	windows map[string][]*window    // by task id
}

type pendingWrite struct {
	taskID string
	write
}

type window struct {
	worker string
	span
}

func newJournal() *journal {
	return &journal{pending: map[string]pendingWrite{}, writes: map[string][]write{}, windows: map[string][]*window{}}
}

// watch returns the function that gets all frames of a worker's links to NATS.
func (j *journal) watch(worker string) func(link.Frame) {
	return func(f link.Frame) {
		switch {
		case !f.FromClient && f.Subject != "":
			j.answered(worker, f)
		case f.FromClient && strings.HasPrefix(f.Subject, recordSubjects):
			j.left(worker, f)
		}
	}
}

// left notes a write that has left the worker. Its submission may leave as soon as the server has the write, which is
// before the journal knows.
func (j *journal) left(worker string, f link.Frame) {
	rec, err := task.ParseRecord(f.Payload)
	if err != nil {
		return
	}
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending[worker+" "+f.Reply] = pendingWrite{rec.TaskID, write{at: now, worker: worker, state: rec.State}}
	if rec.State == task.Submitting && j.open(rec.TaskID, worker) == nil {
		j.windows[rec.TaskID] = append(j.windows[rec.TaskID], &window{worker: worker, span: span{from: now}})
	}
}

// answered notes a write that the server has accepted.
func (j *journal) answered(worker string, f link.Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	key := worker + " " + f.Subject
	p, ok := j.pending[key]
	if !ok {
		j.read(f.Payload)
		return
	}
	delete(j.pending, key)
	var ack struct {
		Error *struct{} `json:"error"`
	}
	if json.Unmarshal(f.Payload, &ack) != nil || ack.Error != nil {
		return
	}
	p.at = time.Now()
	j.writes[p.taskID] = append(j.writes[p.taskID], p.write)
	if w := j.open(p.taskID, worker); w != nil && p.state != task.Submitting {
		w.until = p.at
	}
}

// read notes a finished record that a worker reads: its write was accepted, but the answer was lost. The caller holds mu.
func (j *journal) read(payload []byte) {
	if !bytes.HasPrefix(payload, []byte(`{"type":"io.nats.jetstream.api.v1.stream_msg_get_response"`)) {
		return
	}
	var got struct {
		Message struct {
			Subject string `json:"subject"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if json.Unmarshal(payload, &got) != nil || !strings.HasPrefix(got.Message.Subject, recordSubjects) {
		return
	}
	rec, err := task.ParseRecord(got.Message.Data)
	if err != nil || !rec.State.Ended() {
		return
	}
	writes := j.writes[rec.TaskID]
	if len(writes) > 0 && !writes[len(writes)-1].state.Ended() {
		j.writes[rec.TaskID] = append(writes, write{at: time.Now(), worker: rec.Owner, state: rec.State})
	}
}

// open returns the open window of a task and a worker, or nil. The caller holds mu.
func (j *journal) open(taskID, worker string) *window {
	for _, w := range j.windows[taskID] {
		if w.worker == worker && w.until.IsZero() {
			return w
		}
	}
	return nil
}

// windowsOf returns a task's windows of doubt.
func (j *journal) windowsOf(taskID string) []window {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []window
	for _, w := range j.windows[taskID] {
		all = append(all, *w)
	}
	return all
}

// handover returns the longest time from a moment until another worker had written one of the tasks that a worker held
// then, and which task that was. It is 0 if the worker held none.
func (j *journal) handover(worker string, at time.Time) (slowest time.Duration, taskID string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, writes := range j.writes {
		held := false
		for _, w := range writes {
			switch {
			case !w.at.After(at):
				held = w.worker == worker && !w.state.Ended()
			case held && w.worker != worker:
				if took := w.at.Sub(at); took > slowest {
					slowest, taskID = took, id
				}
				held = false
			case w.state.Ended(): // it finished the task itself
				held = false
			}
		}
	}
	return slowest, taskID
}

// state returns the state of a task's latest record; empty: it has none.
func (j *journal) state(taskID string) task.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	writes := j.writes[taskID]
	if len(writes) == 0 {
		return ""
	}
	return writes[len(writes)-1].state
}

// ended returns how many tasks have a finished record.
func (j *journal) ended() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, writes := range j.writes {
		if writes[len(writes)-1].state.Ended() {
			n++
		}
	}
	return n
}

// endedBefore reports whether a task had a finished record before one of the deletions was over.
func (j *journal) endedBefore(taskID string, all []deletion) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	writes := j.writes[taskID]
	if len(writes) == 0 {
		return false
	}
	last := writes[len(writes)-1]
	return last.state.Ended() && slices.ContainsFunc(all, func(d deletion) bool { return last.at.Before(d.until) })
}

// running returns the tasks whose latest record says that their workflow runs.
func (j *journal) running() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ids []string
	for id, writes := range j.writes {
		if writes[len(writes)-1].state == task.Running {
			ids = append(ids, id)
		}
	}
	return ids
}

// writtenSince returns how many of the tasks have a record that was written after a moment.
func (j *journal) writtenSince(ids []string, moment time.Time) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, id := range ids {
		if writes := j.writes[id]; writes[len(writes)-1].at.After(moment) {
			n++
		}
	}
	return n
}
