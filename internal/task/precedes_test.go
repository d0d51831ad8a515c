package task_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAnEarlierRecordOfARunPrecedesIt(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := task.Record{TaskID: "a", State: task.Running, Owner: "w2", Epoch: 2, RequestSeq: 7, RequestedAt: at, Run: 1, Runs: []task.Run{{WorkflowID: "wf0"}}}
	with := func(change func(*task.Record)) task.Record {
		rec := now
		change(&rec)
		return rec
	}
	for name, c := range map[string]struct {
		rec  task.Record
		want bool
	}{
		"the same run":            {with(func(r *task.Record) { r.State = task.Submitting }), true},
		"an owner before":         {with(func(r *task.Record) { r.Owner, r.Epoch = "w1", 1 }), true},
		"the next owner":          {with(func(r *task.Record) { r.Owner, r.Epoch = "w3", 3 }), false},
		"a rival":                 {with(func(r *task.Record) { r.Owner = "w3" }), false},
		"another request":         {with(func(r *task.Record) { r.RequestSeq, r.Epoch = 8, 1 }), false},
		"a recreated stream's":    {with(func(r *task.Record) { r.RequestedAt, r.Epoch = at.Add(time.Second), 1 }), false},
		"an ended task":           {with(func(r *task.Record) { r.State, r.Epoch = task.Failed, 1 }), false},
		"another workflow":        {with(func(r *task.Record) { r.WorkflowID, r.Epoch = "wf", 1 }), false},
		"one more submission":     {with(func(r *task.Record) { r.Attempts, r.Epoch = 1, 1 }), false},
		"one that was taken back": {with(func(r *task.Record) { r.Attempts = 1 }), true},
		"a later retry":           {with(func(r *task.Record) { r.Run, r.Epoch = 2, 1 }), false},
		"the run before":          {with(func(r *task.Record) { r.WorkflowID, r.Run, r.Runs, r.Epoch = "wf0", 0, nil, 1 }), true},
		"another first run":       {with(func(r *task.Record) { r.WorkflowID, r.Run, r.Runs, r.Epoch = "wf", 0, nil, 1 }), false},
	} {
		if got := c.rec.Precedes(now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
