package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestManyRequestsAreSentAndFoundAgain(t *testing.T) {
	t.Parallel()
	const many = 3000
	s := newSite(t)
	b := s.read("night.jsonl", lines(many), "night")
	if got, want := s.send(b), (send.Counts{All: many, Stored: many}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := s.send(b), (send.Counts{All: many, Before: many}); got != want {
		t.Errorf("again: got %+v, want %+v", got, want)
	}
}

func BenchmarkSend(b *testing.B) {
	s := newSite(b)
	for i := 0; b.Loop(); i++ {
		s.send(s.read("night.jsonl", lines(10_000), fmt.Sprintf("night-%d", i)))
	}
}

func TestTheSameFileAgainSendsWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(10), "night")
	sub := s.prepare(b)
	if err := sub.Send(t.Context(), 4); err != nil { // the run before was interrupted
		t.Fatal(err)
	}
	if got, want := sub.Counts(), (send.Counts{All: 10, Stored: 4, Unsent: 6}); got != want {
		t.Errorf("interrupted: got %+v, want %+v", got, want)
	}
	s.WriteRecord(task.Record{TaskID: "night-000005", State: task.Succeeded, Digest: b.Requests[4].Digest}) // and its request is acked
	if got, want := s.send(b), (send.Counts{All: 10, Stored: 5, Before: 5}); got != want {
		t.Errorf("again: got %+v, want %+v", got, want)
	}
	if got := s.StoredRequests(); len(got) != 9 {
		t.Errorf("got %d requests, want 9: %s", len(got), got)
	}
}

// The stream remembers message ids only for its duplicate window. Here it remembers none.
func TestTheSameFileIsNotSentTwiceAfterTheDuplicateWindow(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TASKS")
	natstest.Stream(t, s.JS, jetstream.StreamConfig{
		Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, Duplicates: 100 * time.Millisecond,
	})
	b := s.read("night.jsonl", lines(300), "night")
	s.send(b)
	timer := time.NewTimer(300 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if got, want := s.send(b), (send.Counts{All: 300, Before: 300}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := len(s.StoredRequests()); got != 300 {
		t.Errorf("got %d requests, want 300", got)
	}
}

func TestARequestWithAnIDThatIsInUseStopsAllOfThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(s.read("a.jsonl", operatortest.Request("ord-1")+"\n"+operatortest.Request("ord-2"), ""))
	s.WriteRecord(task.Record{TaskID: "ord-3", State: task.Running, WorkflowID: "wf", Digest: "other"})
	b := s.read("b.jsonl", operatortest.Request("ord-1")+"\n"+operatortest.Request("ord-2", `"max_steps":7`)+"\n"+operatortest.Request("ord-3")+"\n"+operatortest.Request("ord-4"), "")
	_, err := batch.Prepare(t.Context(), s.Queue, b)
	mistakes, ok := errors.AsType[*batch.MistakesError](err)
	if !ok || len(mistakes.Shown) != 2 || !strings.HasPrefix(mistakes.Shown[0].String(), "b.jsonl:2: task ord-2 is there already, with other content") ||
		!strings.HasPrefix(mistakes.Shown[1].String(), "b.jsonl:3: task ord-3") {
		t.Errorf("got %v, want the two conflicts", err)
	}
	if got := len(s.StoredRequests()); got != 2 {
		t.Errorf("got %d requests, want those from before", got)
	}
}

func TestARequestThatIsTooLargeStopsAllOfThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("a.jsonl", operatortest.Request("a")+"\n"+operatortest.Request("b", `"metadata":{},"extended_system_message":"`+strings.Repeat("x", 1<<20)+`"`), "")
	_, err := batch.Prepare(t.Context(), s.Queue, b)
	if err == nil || !strings.Contains(err.Error(), "a.jsonl:2: the request has 10") {
		t.Errorf("got %v, want the line that is too large", err)
	}
}

func TestAMissingStreamIsExplained(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TASKS", "KV_task_tracker")
	b := s.read("a.jsonl", operatortest.Request("a"), "")
	sub, err := batch.Prepare(t.Context(), s.Queue, b)
	if missing, ok := errors.AsType[*operator.MissingError](err); !ok || missing.Name != "TASKS" || sub != nil {
		t.Fatalf("got %v, %v, want the missing stream and no submission", sub, err)
	}
	s = newSite(t)
	sub = s.prepare(b)
	if err := s.JS.DeleteStream(t.Context(), "TASKS"); err != nil {
		t.Fatal(err)
	}
	err = sub.Send(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "no stream listens on tasks.request") {
		t.Errorf("got %v, want that the stream is missing", err)
	}
	if got, want := sub.Counts(), (send.Counts{All: 1, Unsent: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// To send all again after an outage would take long, and skip the check for ids that are in use.
func TestNothingIsSentIfNATSDoesNotSayWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(3), "night")
	s.Server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if sub, err := batch.Prepare(ctx, s.Queue, b); sub != nil || err == nil {
		t.Errorf("got %v, %v, want no submission, and why not", sub, err)
	}
}

func TestOnlyWhatAFullStreamTookCountsAsStored(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TASKS")
	natstest.Stream(t, s.JS, jetstream.StreamConfig{
		Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, MaxMsgs: 30, Discard: jetstream.DiscardNew,
	})
	b := s.read("night.jsonl", lines(1000), "night")
	sub := s.prepare(b)
	err := sub.Send(t.Context(), 1000)
	if err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") {
		t.Errorf("got %v, want that the stream is full", err)
	}
	counts := sub.Counts()
	if counts.Stored+counts.Unknown < 30 || counts.Stored > 30 || counts.Stored+counts.Unknown+counts.Unsent != 1000 {
		t.Errorf("got %+v, want at most the 30 stored ones to count as stored", counts)
	}
}

func TestSendingEndsWithItsContextAndContinues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(2000), "night")
	ctx, interrupt := context.WithCancel(t.Context())
	sub := s.prepare(b)
	sub.OnProgress = func(confirmed, _ int) {
		if confirmed == 100 {
			interrupt()
		}
	}
	if err := sub.Send(ctx, 2000); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if got := sub.Counts(); got.Stored < 100 || got.Stored+got.Unknown > 100+2*256 {
		t.Errorf("got %+v, want about 100 stored", got)
	}
	if got := s.send(b); got.Stored+got.Before != 2000 {
		t.Errorf("again: got %+v, want all of them", got)
	}
	if got := s.StoredRequests(); len(got) != 2000 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 2000 {
		t.Errorf("got %d requests, want each of the 2000 once", len(got))
	}
}

func TestSendingSurvivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(3000), "night")
	sub := s.prepare(b)
	half := make(chan struct{})
	sub.OnProgress = func(confirmed, _ int) {
		if confirmed == 1000 {
			close(half)
		}
	}
	sent := make(chan error, 1)
	go func() { sent <- sub.Send(t.Context(), 3000) }()
	<-half
	s.Server.Stop()
	s.Server.Restart()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := sub.Counts(); got.Stored+got.Before != 3000 {
		t.Errorf("got %+v, want all of them", got)
	}
	if got := len(s.StoredRequests()); got != 3000 {
		t.Errorf("got %d requests, want each once", got)
	}
}

func TestExpiredRequestsAreRefusedUnlessTheBatchWasBegun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text := operatortest.Request("a", `"expires_at":"2020-01-02T03:04:05Z"`) + "\n" + operatortest.Request("b")
	b := s.read("x.jsonl", text, "")
	if _, err := batch.Prepare(t.Context(), s.Queue, b); err == nil || !strings.HasPrefix(err.Error(), "x.jsonl:1: expires_at must be later than now") {
		t.Errorf("got %v, want the request that has expired", err)
	}
	s.finish(b.Requests[1], "")
	if got, want := s.send(b), (send.Counts{All: 2, Before: 1, Stored: 1}); got != want {
		t.Errorf("begun: got %+v, want %+v", got, want)
	}
}

// A stream that knew requests by their task id alone would drop the second one in silence.
func TestARequestWithOtherContentIsNotTakenForACopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.prepare(s.read("a.jsonl", operatortest.Request("a"), ""))
	other := s.prepare(s.read("b.jsonl", operatortest.Request("a", `"max_steps":7`), ""))
	same := s.prepare(s.read("c.jsonl", " "+operatortest.Request("a"), ""))
	for _, sub := range []*batch.Submission{first, other, same} {
		if err := sub.Send(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := other.Counts(), (send.Counts{All: 1, Stored: 1}); got != want {
		t.Errorf("other content: got %+v, want %+v", got, want)
	}
	if got, want := same.Counts(), (send.Counts{All: 1, Before: 1}); got != want {
		t.Errorf("the same content: got %+v, want %+v", got, want)
	}
}
