package board_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// site is a queue, and what its tests read from it.
type site struct {
	*operatortest.Site
	t *testing.T
}

// newSite returns a site with all streams.
func newSite(t *testing.T) *site {
	t.Helper()
	return &site{operatortest.Start(t), t}
}

// board returns a board that has read everything.
func (s *site) board() *board.Board {
	s.t.Helper()
	b := board.New(s.Queue)
	s.refresh(b)
	return b
}

// refresh reads what is new.
func (s *site) refresh(b *board.Board) {
	s.t.Helper()
	if err := b.Refresh(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// fill fills the queue with tasks of two batches in all states.
func (s *site) fill() {
	s.t.Helper()
	for i := range 6 {
		s.Publish(operatortest.Request(fmt.Sprint("q", i), fmt.Sprintf(`"batch":%q`, []string{"night", "day"}[i%2])))
	}
	s.Take(2)
	s.WriteRecord(task.Record{TaskID: "q0", State: task.Waiting, WaitsFor: task.ForPlan, Batch: "night", Host: "shop.example"})
	s.WriteRecord(task.Record{TaskID: "q1", State: task.Running, SubmittedAt: time.Now().Add(-time.Minute), Batch: "day", Host: "shop.example"})
	for i := range 10 {
		end := time.Now().Add(-time.Duration(i) * time.Minute).UTC()
		r := task.Record{TaskID: fmt.Sprint("done", i), State: task.Succeeded, Batch: "night", SubmittedAt: end.Add(-time.Minute), FinishedAt: end, UpdatedAt: end}
		if i >= 7 {
			r.State, r.ErrorCode, r.Batch = task.Failed, task.Timeout, "day"
		}
		s.WriteRecord(r)
	}
	s.WriteEvent(task.Event{TaskID: "bad", Status: task.Failed, Batch: "night", Error: task.NewError(task.InvalidRequest, "x")},
		"Capstan-Code", "invalid_request", "Capstan-Batch", "night")
}

// ids returns the ids of tasks, in their order.
func ids(all []inspect.Entry) string {
	var names []string
	for _, e := range all {
		names = append(names, e.ID)
	}
	return strings.Join(names, " ")
}

// listed returns the ids of the tasks that the tool lists.
func (s *site) listed(f inspect.Listing) string {
	s.t.Helper()
	all, complete, err := inspect.List(s.t.Context(), s.Queue, f)
	if err != nil || !complete {
		s.t.Fatalf("got %v, complete %v", err, complete)
	}
	return ids(all)
}

// counts returns a status as text, without what changes from one moment to the next.
func (s *site) counts(st inspect.Status) string {
	s.t.Helper()
	st.At, st.PerMinute, st.Done.At, st.Done.From, st.Done.To = time.Time{}, 0, time.Time{}, time.Time{}, time.Time{}
	data, err := json.Marshal(st)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// asTheTool compares what a board and a new view say of each batch.
func (s *site) asTheTool(b *board.Board) {
	s.t.Helper()
	for _, batch := range []string{"", "night", "day", "absent"} {
		got := b.Snapshot().Status(batch)
		want, err := inspect.NewView(s.Queue, batch).Status(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if s.counts(got) != s.counts(want) {
			s.t.Errorf("batch %q: got\n%s, want\n%s", batch, s.counts(got), s.counts(want))
		}
		if got.Done.At.Sub(want.Done.At).Abs() > time.Minute || got.Done.IsKnown() != want.Done.IsKnown() {
			s.t.Errorf("batch %q: got an end at %v, want %v", batch, got.Done.At, want.Done.At)
		}
		if difference := got.PerMinute - want.PerMinute; difference < -0.1 || difference > 0.1 {
			s.t.Errorf("batch %q: got %v a minute, want %v", batch, got.PerMinute, want.PerMinute)
		}
	}
}
