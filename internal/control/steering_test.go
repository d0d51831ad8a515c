package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAMarkCancelsATaskAndABatch(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.put("cancel.before", `{"reason":"wrong customer","by":"ada","at":"2026-01-02T03:04:05Z"}`)
	s.run()
	want := task.Cancellation{Reason: "wrong customer", By: "ada", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	// The first call waits until the bucket was read.
	if got, canceled := s.Canceled(t.Context(), "before", ""); !canceled || got != want {
		t.Errorf("got %+v, %v, want %+v", got, canceled, want)
	}
	if _, canceled := s.Canceled(t.Context(), "other", "other"); canceled {
		t.Error("got a task canceled that has no mark")
	}
	s.put("cancel.ord.18=42_a-b", "wrong customer")
	if got := s.eventually("ord.18=42_a-b", "", true); got.Reason != "wrong customer" || time.Since(got.At).Abs() > time.Minute {
		t.Errorf("got %+v, want the value as the reason, and when it was stored", got)
	}
	s.put("cancel-batch.night", "a bad file")
	if got := s.eventually("any", "night", true); got.Reason != "a bad file" {
		t.Errorf("got %+v, want the batch's", got)
	}
	if _, canceled := s.Canceled(t.Context(), "night", ""); canceled {
		t.Error("got a task canceled that has the name of a batch")
	}
	if got := s.metric("capstan_cancel_marks"); got != 3 {
		t.Errorf("got %v marks, want 3", got)
	}
	s.lints()
}

// Anything that can write a key can cancel, also by mistake. What cannot be meant for a task is ignored.
func TestAMarkCanHaveAnyValue(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.put("cancel.empty", "")
	s.put("cancel.large", strings.Repeat("x", 900_000))
	s.put("cancel.control", "a\x00\x1b[31m\nb\xff")
	s.put("cancel.json", `{"reason":7,"by":["x"]}`)
	s.put("cancel."+strings.Repeat("x", task.LongestID+1), "too long")
	s.put("cancel-batch."+strings.Repeat("x", task.LongestBatch+1), "too long")
	s.put("pace.x", "another key")
	s.put("cancel.last", "")
	s.eventually("last", "", true)
	for id, longest := range map[string]int{"empty": 0, "large": 300, "control": 20, "json": 30} {
		if got, canceled := s.Canceled(t.Context(), id, ""); !canceled || len(got.Reason) > longest || strings.ContainsAny(got.Reason, "\x00\x1b\n") {
			t.Errorf("%s: got %.100q, %v, want a short line", id, got.Reason, canceled)
		}
	}
	if got := s.metric("capstan_cancel_marks"); got != 5 {
		t.Errorf("got %v marks, want 5", got)
	}
	if got := s.MarkBytes(); got > 5000 {
		t.Errorf("got %d bytes of marks, want the short texts only", got)
	}
}

// A mark ends when its key goes, in any way, and so long after it was stored, also if it was written without a TTL.
func TestAMarkEnds(t *testing.T) {
	t.Parallel()
	const ttl = time.Minute
	s := newSteered(t, ttl)
	s.run()
	for _, key := range []string{"cancel.deleted", "cancel.purged", "cancel.put"} {
		s.put(key, "")
	}
	if _, err := s.kv.Create(t.Context(), "cancel.short", nil, jetstream.KeyTTL(ttl/2)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"deleted", "purged", "put", "short"} {
		s.eventually(id, "", true)
	}
	if err := s.kv.Delete(t.Context(), "cancel.deleted"); err != nil {
		t.Fatal(err)
	}
	s.eventually("deleted", "", false)
	if err := s.kv.Purge(t.Context(), "cancel.purged"); err != nil {
		t.Fatal(err)
	}
	s.eventually("purged", "", false)
	s.sets(ttl * 3 / 4)
	s.eventually("short", "", false)
	s.eventually("put", "", true)
	s.sets(ttl)
	s.eventually("put", "", false)
}

// sets sets the server's clock ahead of this machine's, as far as the worker knows.
func (s *steered) sets(ahead time.Duration) {
	now := time.Now()
	s.clock.Observe(now.Add(ahead), now, now)
}

// A task must not wait for what may never come.
func TestWithoutABucketNothingIsCanceledAndNothingWaits(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]jetstream.StreamConfig{
		"missing":               {},
		"another application's": {Name: names.Stream(), Subjects: []string{names.Subjects()}},
		"another kind":          {Name: names.Stream(), Subjects: []string{"$KV.task_control.cancel.>"}, Retention: jetstream.WorkQueuePolicy},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t)
			s := steer(t, server, time.Hour)
			if cfg.Name != "" {
				natstest.Stream(t, s.js, cfg)
				if _, err := s.js.Publish(t.Context(), "$KV.task_control.cancel.a", nil); err != nil {
					t.Fatal(err)
				}
			}
			s.run()
			began := time.Now()
			if _, canceled := s.Canceled(t.Context(), "a", ""); canceled {
				t.Error("got a task canceled without a bucket")
			}
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("got an answer after %v, want one as soon as the bucket is known to be unusable", took)
			}
			s.logged("cancellations and pauses not watched", 1)
			if cfg.Name != "" {
				if err := s.js.DeleteStream(t.Context(), cfg.Name); err != nil {
					t.Fatal(err)
				}
			}
			natstest.Eventually(t, func() (err error) { // the server may still be busy deleting the other stream
				worker(s.js, time.Hour).Prepare(t.Context())
				s.kv, err = s.js.KeyValue(t.Context(), names.Bucket)
				return err
			})
			s.put("cancel.b", "")
			s.eventually("b", "", true)
		})
	}
}

// A worker whose bucket does not answer waits for a while in all, and not as long for each task.
func TestTheWaitForABucketThatDoesNotAnswerIsBounded(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"a worker that starts": false, "one that knew the bucket": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSteered(t, time.Hour)
			s.SetPatience(3 * time.Second)
			if known {
				s.run()
				s.put("cancel.a", "")
				s.eventually("a", "", true)
				defer s.silence()()
			} else {
				s.server.Stop()
				s.run()
			}
			began := time.Now()
			for range 10 {
				s.Canceled(t.Context(), "b", "c")
			}
			if took := time.Since(began); took < 2*time.Second || took > 7*time.Second {
				t.Errorf("got ten answers after %v, want them after three seconds", took)
			}
		})
	}
}

// A cluster may have no leader for a moment. A task that was canceled long before must not be submitted meanwhile.
func TestACancellationIsHeededThoughTheBucketAnswersLate(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"a worker that starts": false, "one that knew the bucket": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSteered(t, time.Hour)
			s.put("cancel.late", "")
			restore := s.server.Restart
			if known {
				s.run()
				s.eventually("late", "", true)
				restore = s.silence()
				s.Forget("late") // as if it had been stored while the connection was lost
			} else {
				s.server.Stop()
				s.run()
			}
			found := make(chan bool)
			go func() {
				_, canceled := s.Canceled(t.Context(), "late", "")
				found <- canceled
			}()
			select {
			case canceled := <-found:
				t.Fatalf("got canceled %v while the bucket does not answer, want no answer yet", canceled)
			case <-time.After(3 * time.Second):
			}
			restore()
			if !<-found {
				t.Error("got a task that is not canceled, want it canceled")
			}
		})
	}
}

func TestTheWaitForTheFirstLookEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, canceled := steer(t, natstest.Start(t), time.Hour).Canceled(ctx, "a", ""); canceled {
		t.Error("got a task canceled whose context has ended")
	}
}

// Marks that do not fit into memory are looked up in the bucket, one task at a time.
func TestMarksBeyondTheBudgetAreNotMissed(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.SetBudget(1000)
	const n = 50
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "task-" + strings.Repeat("x", i)
		s.put("cancel."+ids[i], "wrong")
	}
	s.run()
	for _, id := range ids {
		if got, canceled := s.Canceled(t.Context(), id, ""); !canceled || got.Reason != "wrong" {
			t.Errorf("task %q: got %+v, %v, want it canceled", id, got, canceled)
		}
		ctx, stop := s.Until(t.Context(), id, "")
		if !errors.Is(context.Cause(ctx), task.ErrCanceled) {
			t.Errorf("task %q: got a context that goes on", id)
		}
		stop(nil)
	}
	if _, canceled := s.Canceled(t.Context(), "other", "other"); canceled {
		t.Error("got a task canceled that has no mark")
	}
	if got := s.MarkBytes(); got > 1000 {
		t.Errorf("got %d bytes of marks, want at most 1000", got)
	}
	s.put("cancel-batch.night", "late") // beyond the budget as well
	s.eventually("other", "night", true)
	s.logged("too many cancellations to keep", 1)
	s.sets(time.Hour)
	s.eventually(ids[n-1], "", false) // all have expired
}

// The consumer that a watch has must not be left behind.
func TestAWatchLeavesNoConsumer(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	stop := s.run()
	s.Canceled(t.Context(), "a", "")
	if got := s.consumers(); got != 1 {
		t.Errorf("got %d consumers, want one for a worker", got)
	}
	stop()
	if got := s.consumers(); got != 0 {
		t.Errorf("got %d consumers after the end, want none", got)
	}
}

func (s *steered) consumers() int {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), names.Stream())
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo().State.Consumers
}
