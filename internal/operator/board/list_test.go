package board_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestABoardListsWhatTheToolLists(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fill()
	b := s.board()
	for name, f := range map[string]inspect.Listing{
		"all":          {Limit: 100},
		"the first":    {Limit: 3},
		"failed":       {States: []inspect.State{"failed"}, Limit: 100},
		"a code":       {Codes: []task.Code{task.Timeout}, Limit: 100},
		"a batch":      {Batch: "night", Limit: 100},
		"a host":       {Host: "SHOP.example", Limit: 100},
		"since":        {Since: 150 * time.Second, Limit: 100},
		"none of them": {Batch: "other", Limit: 100},
	} {
		if got, want := ids(b.List(board.Listing{Listing: f}).Tasks), s.listed(f); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := ids(b.List(board.Listing{Listing: inspect.Listing{Limit: 100}, Prefix: "done1"}).Tasks); got != "done1" {
		t.Errorf("a prefix: got %q, want done1", got)
	}
	s.Publish(operatortest.Request("done1")) // a copy
	s.refresh(b)
	if got := ids(b.List(board.Listing{Listing: inspect.Listing{States: []inspect.State{inspect.Queued}, Limit: 100}}).Tasks); got != "q2 q3 q4 q5" {
		t.Errorf("queued: got %q, want them as workers take them, without the copy of a task that has ended", got)
	}
	waits := b.Entries("q0")[0]
	if waits.WaitsFor != task.ForPlan || waits.Host != "shop.example" || waits.Batch != "night" || waits.ChangedAt.IsZero() {
		t.Errorf("got %+v, want what its record says", waits)
	}
}

func TestPagesHaveEachTaskOnce(t *testing.T) {
	t.Parallel()
	const many = 103
	s := newSite(t)
	now := time.Now().UTC()
	for i := range many { // some change at the same moment
		s.WriteRecord(task.Record{TaskID: fmt.Sprintf("t%03d", i), State: task.Succeeded, UpdatedAt: now.Add(-time.Duration(i/7) * time.Second)})
	}
	b := s.board()
	f := board.Listing{Listing: inspect.Listing{Limit: 10}}
	var read []string
	for {
		page := b.List(f)
		if page.All != many || len(page.Tasks) > 10 {
			t.Fatalf("got %d of %d tasks, want at most 10 of %d", len(page.Tasks), page.All, many)
		}
		for _, e := range page.Tasks {
			read = append(read, e.ID)
		}
		if !page.More {
			break
		}
		f.After = page.Tasks[len(page.Tasks)-1]
	}
	if got, want := strings.Join(read, " "), s.listed(inspect.Listing{}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestQueuedTasksAreListedAsWorkersTakeThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 25 {
		s.Publish(operatortest.Request(fmt.Sprintf("q%02d", i), fmt.Sprintf(`"batch":"b%d"`, i%2)))
	}
	b := s.board()
	f := board.Listing{Listing: inspect.Listing{States: []inspect.State{inspect.Queued}, Batch: "b0", Limit: 5}}
	var read []string
	for more := true; more; {
		page := b.List(f)
		if page.All != 13 {
			t.Fatalf("got %d tasks in all, want 13", page.All)
		}
		read, more = append(read, ids(page.Tasks)), page.More
		f.After = page.Tasks[len(page.Tasks)-1]
	}
	if got, want := strings.Join(read, ", "), "q00 q02 q04 q06 q08, q10 q12 q14 q16 q18, q20 q22 q24"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnOpenListCountsWhatHasChangedApartFromIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Now().UTC()
	for i := range 5 {
		s.WriteRecord(task.Record{TaskID: fmt.Sprint("t", i), State: task.Running, UpdatedAt: now.Add(time.Duration(i) * time.Second)})
	}
	f := board.Listing{Listing: inspect.Listing{Limit: 10}, Opened: now.Add(2 * time.Second), Shown: []string{"t0", "t4"}}
	if got := s.board().List(f).Newer; got != 1 {
		t.Errorf("got %d, want 1: t3 has changed since, and t4 is shown", got)
	}
}

func TestEntriesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.WriteRecord(task.Record{TaskID: "runs", State: task.Running})
	s.Publish(operatortest.Request("queued"))
	got := s.board().Entries("queued", "nobody", "runs")
	if fmt.Sprintf("%s %s %s", got[0].State, got[1].State, got[2].State) != "queued unknown running" {
		t.Errorf("got %+v, want one queued, one unknown, one running", got)
	}
}

func TestBatchesAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fill()
	s.WriteRecord(task.Record{TaskID: "old", State: task.Succeeded, Batch: "old", FinishedAt: time.Now().Add(-time.Hour)})
	s.WriteEvent(task.Event{TaskID: "broken", Status: task.Failed, Batch: "old", Error: task.NewError(task.InvalidRequest, "no")},
		"Capstan-Code", "invalid_request", "Capstan-Batch", "old")
	snapshot := s.board().Snapshot()
	all := snapshot.Batches()
	for _, c := range all {
		st := snapshot.Status(c.Batch)
		want := fmt.Sprint(st.Queued, st.Waiting, st.Running+st.Submitting, st.Succeeded+st.Failed, st.Failed)
		if got := fmt.Sprint(c.Queued, c.Waiting, c.Running, c.Ended, c.Failed); got != want {
			t.Errorf("batch %s: got %s, want %s as in its status", c.Batch, got, want)
		}
	}
	if len(all) != 3 || all[2].Batch != "old" || all[2].IsOpen() || all[2].All() != 2 || !all[1].IsOpen() {
		t.Errorf("got %+v, want 3 batches, the one that has ended last", all)
	}
}

func TestDeadLettersAreGroupedByCodeAndHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	letter := func(id, code, host, batch string) {
		s.WriteLetter(id, code, "{}", "Capstan-Host", host, "Capstan-Batch", batch)
	}
	letter("a", "timeout", "shop.example", "night")
	letter("b", "timeout", "shop.example", "day")
	letter("c", "timeout", "slow.example", "night")
	letter("c.r1", "step_limit", "slow.example", "night") // replaces the one before
	letter("a", "duplicate_task", "shop.example", "")     // of a request that was refused
	s.WriteRecord(task.Record{TaskID: "a.r1", State: task.Running})
	s.Publish(operatortest.Request("b.r1"))
	b := s.board()
	var text strings.Builder
	for _, g := range b.LetterGroups(board.LetterFilter{}) {
		fmt.Fprintln(&text, g.Code, g.Host, g.Tasks, g.Again)
	}
	if want := "timeout shop.example 2 2\nstep_limit slow.example 1 0\n"; text.String() != want {
		t.Errorf("got\n%s, want\n%s", text.String(), want)
	}
	if got := b.LetterGroups(board.LetterFilter{Batch: "day"}); len(got) != 1 || got[0].Tasks != 1 {
		t.Errorf("of a batch: got %+v, want one task", got)
	}
	listed := func(f board.LetterFilter, most int) (ids string) {
		for _, l := range b.ListLetters(f, most) {
			ids += l.TaskID + " "
		}
		return ids
	}
	for want, f := range map[string]board.LetterFilter{
		"c.r1 b a ": {}, "b a ": {Code: "timeout"}, "a ": {Host: "SHOP.example", Batch: "night"}, "": {Code: "duplicate_task"},
	} {
		if got := listed(f, 10); got != want {
			t.Errorf("%+v: got %q, want %q", f, got, want)
		}
	}
	if got := listed(board.LetterFilter{}, 1); got != "c.r1 " {
		t.Errorf("got %q, want the newest letter", got)
	}
	stream, err := s.JS.Stream(t.Context(), "TASK_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.refresh(b)
	if got := b.LetterGroups(board.LetterFilter{}); len(got) != 0 {
		t.Errorf("after the letters have expired: got %+v, want none", got)
	}
}
