package operator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
)

// line returns the state of the queue.
func line(t *testing.T, q operator.Queue) operator.Line {
	t.Helper()
	l, err := q.Line(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// taskIDs returns the ids of requests, in their order.
func taskIDs(requests []operator.Request) string {
	var ids []string
	for _, r := range requests {
		ids = append(ids, r.TaskID)
	}
	return strings.Join(ids, " ")
}

func TestABacklogDropsWhatWasTakenAndReadsWhatWasAdded(t *testing.T) {
	s := operatortest.Start(t)
	for i := range 4 {
		s.Publish(operatortest.Request(fmt.Sprint("t", i), fmt.Sprintf(`"batch":%q`, []string{"day", "night"}[i%2])))
	}
	b := s.Backlog()
	refresh := func() {
		t.Helper()
		if complete, err := b.Refresh(t.Context(), line(t, s.Queue)); err != nil || !complete {
			t.Fatalf("got %v, %v, want all of it", complete, err)
		}
	}
	refresh()
	if got := taskIDs(b.Of("")) + ", " + taskIDs(b.Of("night")); got != "t0 t1 t2 t3, t1 t3" {
		t.Errorf("got %s, want all, and those of the batch", got)
	}
	s.Take(2)
	s.Publish(operatortest.Request("t4"))
	refresh()
	if got := taskIDs(b.Of("")); got != "t2 t3 t4" {
		t.Errorf("got %s, want what no worker has taken", got)
	}
	l := line(t, s.Queue)
	if l.Queued != 3 || l.Held != 2 || l.Place(b.Of("")[0].Seq) != 1 {
		t.Errorf("got %+v, with t2 at place %d, want 3, 2 and the first place", l, l.Place(b.Of("")[0].Seq))
	}
	newest, complete, err := s.NewestQueued(t.Context(), l)
	if got := taskIDs(newest); err != nil || !complete || got != "t2 t3 t4" {
		t.Errorf("got %s, %v, %v, want the same", got, complete, err)
	}
}

func TestABacklogOfAStreamThatWasRecreatedBeginsAgain(t *testing.T) {
	s := operatortest.Start(t)
	for i := range 3 {
		s.Publish(operatortest.Request(fmt.Sprint("t", i)))
	}
	b := s.Backlog()
	if _, err := b.Refresh(t.Context(), line(t, s.Queue)); err != nil {
		t.Fatal(err)
	}
	s.Recreate("TASKS")
	s.Publish(operatortest.Request("new"))
	if _, err := b.Refresh(t.Context(), line(t, s.Queue)); err != nil {
		t.Fatal(err)
	}
	if got := taskIDs(b.Of("")); got != "new" {
		t.Errorf("got %s, want only the new request", got)
	}
}
