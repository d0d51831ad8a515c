package board_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestABoardSaysWhatTheToolSays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "ok", Polls: "ok"})
	s.fill()
	b := s.board()
	s.asTheTool(b)
	if st := b.Snapshot().Status(""); st.Failed != 4 || !st.Done.IsKnown() {
		t.Errorf("got %d that failed and the end %+v, want 3 tasks and a request that was refused, and an estimate", st.Failed, st.Done)
	}
	s.Put("task_control", "pause", `{"reason":"maintenance","by":"ada"}`)
	s.refresh(b)
	s.asTheTool(b)
}

// What a board keeps of a record must not drift from what the bucket holds.
func TestABoardFollowsEachChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.board()
	random := rand.New(rand.NewPCG(1, 2))
	kv, err := s.JS.KeyValue(t.Context(), "task_tracker")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		for range 40 {
			id := fmt.Sprint("t", random.IntN(30))
			if random.IntN(10) > 0 {
				s.WriteRecord(randomRecord(random, id))
			} else if err := kv.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		s.refresh(b)
		s.asTheTool(b)
	}
}

// randomRecord returns a record in any state.
func randomRecord(random *rand.Rand, id string) task.Record {
	now := time.Now().UTC()
	states := []task.State{task.Waiting, task.Submitting, task.Running, task.Succeeded, task.Failed}
	r := task.Record{TaskID: id, State: states[random.IntN(len(states))], Batch: []string{"", "night", "day"}[random.IntN(3)], UpdatedAt: now}
	if r.State == task.Waiting {
		r.WaitsFor = []task.WaitReason{"", task.ForPlan, task.ForRate}[random.IntN(3)]
		return r
	}
	r.SubmittedAt = now.Add(-time.Duration(random.IntN(100)) * time.Second)
	if r.State.Ended() {
		r.FinishedAt = now
		used := random.Float64() * 10
		r.Steps, r.Credits = []*int{nil, new(random.IntN(9))}[random.IntN(2)], []*float64{nil, &used}[random.IntN(2)]
	}
	if r.State == task.Failed {
		r.ErrorCode = []task.Code{task.Timeout, task.StepLimit}[random.IntN(2)]
	}
	return r
}

func TestABoardBeginsAgainWhenTheStreamsDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fill()
	s.WriteLetter("old", "timeout", "{}")
	b := s.board()
	for _, name := range []string{"TASKS", "KV_task_tracker", "TASK_RESULTS", "TASK_DEAD"} {
		s.Recreate(name)
	}
	s.WriteRecord(task.Record{TaskID: "new", State: task.Waiting})
	s.refresh(b)
	if st := b.Snapshot().Status(""); st.Waiting != 1 || st.Open() != 1 || st.Succeeded+st.Failed != 0 || len(b.LetterGroups(board.LetterFilter{})) != 0 {
		t.Errorf("got %+v and the letters %+v, want only the new task", st, b.LetterGroups(board.LetterFilter{}))
	}
}

func TestABoardForgetsRecordsThatHaveExpired(t *testing.T) {
	t.Setenv("TRACKER_TTL", "1s")
	t.Setenv("ACK_WAIT", "100ms")
	s := newSite(t)
	s.WriteRecord(task.Record{TaskID: "gone", State: task.Succeeded, UpdatedAt: time.Now().Add(-time.Hour)})
	s.WriteRecord(task.Record{TaskID: "here", State: task.Running, SubmittedAt: time.Now().Add(-time.Hour)})
	b := s.board()
	if got := ids(b.Entries("gone", "here")); got != "gone here" || b.Entries("gone")[0].State != "unknown" {
		t.Errorf("got %+v, want that nothing is known of the one that ended", b.Entries("gone", "here"))
	}
	if st := b.Snapshot().Status(""); st.Succeeded != 0 || st.Running != 1 {
		t.Errorf("got %d that ended, %d running, want only the one that runs", st.Succeeded, st.Running)
	}
}

func TestWhatWasReadStaysWhileNATSIsUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.WriteRecord(task.Record{TaskID: "a", State: task.Running, SubmittedAt: time.Now()})
	b := s.board()
	s.Server.Stop()
	if err := b.Refresh(t.Context()); err == nil {
		t.Error("got no error, want one: there is no server")
	}
	if got := b.Snapshot().Status("").Running; got != 1 {
		t.Errorf("got %d running, want 1", got)
	}
	s.Server.Restart()
	s.WriteRecord(task.Record{TaskID: "b", State: task.Running, SubmittedAt: time.Now()})
	s.refresh(b)
	if got := b.Snapshot().Status("").Running; got != 2 {
		t.Errorf("got %d running, want 2", got)
	}
}

func TestABoardWithoutStreamsSaysSo(t *testing.T) {
	t.Parallel()
	s := operatortest.StartBare(t)
	if err := board.New(s.Queue).Refresh(t.Context()); !operator.IsMissing(err) {
		t.Errorf("got %v, want what is missing", err)
	}
	natstest.Stream(t, s.JS, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	b := board.New(s.Queue)
	if err := b.Refresh(t.Context()); err != nil || len(b.Snapshot().Status("").Notes) != 1 {
		t.Errorf("got %v and the notes %q, want a board with a note", err, b.Snapshot().Status("").Notes)
	}
}

func TestTheEndsOfTheLastHoursAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Now().UTC()
	for i, r := range []task.Record{
		{State: task.Succeeded, Host: "shop.example"},
		{State: task.Failed, ErrorCode: task.Timeout, Host: "shop.example"},
		{State: task.Failed, ErrorCode: task.Timeout, Host: "slow.example"},
		{State: task.Failed, ErrorCode: task.Rejected, Host: "slow.example"},
		{State: task.Failed, ErrorCode: task.Canceled, Host: "slow.example"},
		{State: task.Succeeded, Host: "good.example"},
		{State: task.Failed, ErrorCode: task.Canceled, Host: "good.example"},
	} {
		r.TaskID, r.FinishedAt = fmt.Sprint("t", i), now
		s.WriteRecord(r)
	}
	s.WriteRecord(task.Record{TaskID: "older", State: task.Failed, Host: "older.example", FinishedAt: now.Add(-2 * time.Hour)})
	s.WriteRecord(task.Record{TaskID: "oldest", State: task.Failed, FinishedAt: now.Add(-7 * time.Hour)})
	s.WriteRecord(task.Record{TaskID: "ahead", State: task.Failed, FinishedAt: now.Add(time.Hour)}) // by a clock that is wrong
	b := s.board()
	if got, want := fmt.Sprint(b.FailingHosts(10)), "[{slow.example 3 2} {shop.example 2 1}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := len(b.FailingHosts(1)); got != 1 {
		t.Errorf("got %d hosts, want 1", got)
	}
	succeeded, failed := 0, 0
	for _, m := range b.Minutes() {
		succeeded, failed = succeeded+m.Succeeded, failed+m.Failed
	}
	if succeeded != 2 || failed != 6 {
		t.Errorf("got %d and %d, want 2 that succeeded and 6 that failed", succeeded, failed)
	}
}
