package batch_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestABatchIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(5), "night")
	sub := s.prepare(b)
	results, ids := s.follow(sub)
	if err := sub.Send(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	s.finish(b.Requests[1], task.StepLimit)
	s.WriteEvent(task.Event{TaskID: "other", Status: task.Failed}, nats.MsgIdHdr, "other")
	s.finish(b.Requests[0], "")
	want := batch.Tally{All: 2, Ended: 2, Succeeded: 1, Failed: 1, Codes: map[task.Code]int{task.StepLimit: 1}}
	if got := s.wait(results, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("canary: got %+v, want %+v", got, want)
	}
	if err := sub.Send(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Requests[2:] {
		s.finish(r, "")
		s.WriteEvent(task.Event{TaskID: r.TaskID, Status: task.Succeeded}, nats.MsgIdHdr, r.TaskID+"/9/9", publisher.DigestHeader, r.Digest) // a replay
	}
	if got := s.wait(results, 100); got.Succeeded != 4 || got.Failed != 1 || got.All != 5 {
		t.Errorf("got %+v, want 4 and 1", got)
	}
	if got, want := fmt.Sprint(*ids), "[night-000002 night-000001 night-000003 night-000004 night-000005]"; got != want {
		t.Errorf("got the events of %s, want each once: %s", got, want)
	}
}

func TestTasksThatEndedBeforeCountAsWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(4), "night")
	s.finish(b.Requests[0], "")
	s.finish(b.Requests[1], task.Timeout)
	// Its event has expired.
	s.WriteRecord(task.Record{TaskID: b.Requests[2].TaskID, State: task.Failed, Digest: b.Requests[2].Digest, ErrorCode: task.AgentFailed, RequestedAt: time.Now().Add(-100 * time.Hour)})
	sub := s.prepare(b)
	results, _ := s.follow(sub)
	if err := sub.Send(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if got, want := sub.Counts(), (send.Counts{All: 4, Before: 3, Stored: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.finish(b.Requests[3], "")
	got := s.wait(results, 4)
	want := batch.Tally{All: 4, Ended: 4, Succeeded: 2, Failed: 2, Expired: 1, Codes: map[task.Code]int{task.Timeout: 1, task.AgentFailed: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestATallyAddsUpWhatTasksUsed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(4), "night")
	used := func(r batch.Request, status task.State, steps int, credits float64) {
		s.WriteEvent(task.Event{TaskID: r.TaskID, Status: status, Steps: &steps, Credits: &credits}, nats.MsgIdHdr, r.TaskID, publisher.DigestHeader, r.Digest)
	}
	s.WriteRecord(task.Record{TaskID: b.Requests[0].TaskID, State: task.Failed, Digest: b.Requests[0].Digest, Steps: new(100), Credits: new(3.0)}) // its event has expired
	results, _ := s.follow(s.prepare(b))
	used(b.Requests[1], task.Succeeded, 10, 0.1)
	used(b.Requests[2], task.Failed, 1, 0.2)
	s.finish(b.Requests[3], "")
	got := s.wait(results, 4)
	if want := "111 steps and 3.3 credits in 3 tasks; of these 101 steps and 3.2 credits in 2 tasks that failed"; operator.CostText(got.Cost, got.FailedCost) != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestOnlyAnswersToTheBatchsOwnRequestsCount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("x.jsonl", operatortest.Request("ord-1")+"\n"+operatortest.Request("ord-2"), "")
	// An earlier request of that id was refused, and another one had other content.
	refused := task.Event{TaskID: "ord-1", Status: task.Failed, Error: &task.Error{Code: task.InvalidRequest}, RequestedAt: time.Now().Add(-time.Minute)}
	s.WriteEvent(refused, nats.MsgIdHdr, "ord-1")
	s.WriteEvent(task.Event{TaskID: "ord-2", Status: task.Succeeded}, nats.MsgIdHdr, "ord-2", publisher.DigestHeader, "other")
	sub := s.prepare(b)
	results, ids := s.follow(sub)
	for n := range 2 { // one after the other, so that their sequences are 1 and 2
		if err := sub.Send(t.Context(), n+1); err != nil {
			t.Fatal(err)
		}
	}
	ours := refused
	ours.Error = &task.Error{Code: task.DuplicateTask}
	s.WriteEvent(refused, nats.MsgIdHdr, "ord-1/77/1")
	s.WriteEvent(ours, nats.MsgIdHdr, "ord-1/1/1")
	s.WriteEvent(ours, nats.MsgIdHdr, "ord-2/77/1")
	s.WriteEvent(task.Event{TaskID: "ord-2", Status: task.Succeeded}, nats.MsgIdHdr, "ord-2/2/1", publisher.DigestHeader, b.Requests[1].Digest)
	got := s.wait(results, 2)
	if got.Codes[task.DuplicateTask] != 1 || got.Succeeded != 1 || len(*ids) != 2 {
		t.Errorf("got %+v of %v, want a refusal and a success", got, *ids)
	}
}

func TestWaitingEndsWithItsContextAndWithAnErrorOfTheReport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(2), "night")
	sub := s.prepare(b)
	results, _ := s.follow(sub)
	s.finish(b.Requests[0], "")
	ctx, stop := context.WithCancelCause(t.Context())
	cause := errors.New("no time")
	err := results.Wait(ctx, 2, func(tally batch.Tally) {
		if tally.Ended == 1 {
			stop(cause)
		}
	})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	full := errors.New("disk full")
	results.OnEvent = func(task.Event, []byte) error { return full }
	s.finish(b.Requests[1], "")
	if err := results.Wait(t.Context(), 2, nil); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

func TestFollowingSurvivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.read("night.jsonl", lines(2), "night")
	sub := s.prepare(b)
	results, _ := s.follow(sub)
	s.finish(b.Requests[0], "")
	s.wait(results, 1)
	s.Server.Stop()
	s.Server.Restart()
	s.finish(b.Requests[1], "")
	if got := s.wait(results, 2); got.Succeeded != 2 {
		t.Errorf("got %+v, want both", got)
	}
}

func TestWithoutResultsThereIsNothingToFollow(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TASK_RESULTS")
	_, err := s.prepare(s.read("night.jsonl", lines(1), "night")).Follow(t.Context())
	if missing, ok := errors.AsType[*operator.MissingError](err); !ok || missing.Name != "TASK_RESULTS" {
		t.Errorf("got %v, want that the stream is missing", err)
	}
}
