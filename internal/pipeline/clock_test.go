package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// The clock of a worker is off by hours. Records and events go by the server's, so that a task that changes hands
// neither times out early nor late.
func TestAClockThatIsOffChangesNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":%s,"url":"https://example.com","timeout":"10s"}`, w.plan("a", 100*time.Millisecond)))
			// As a worker whose clock is off sees it: the server's time is so far from its own.
			clock := &servertime.Clock{}
			now := time.Now()
			clock.Observe(now.Add(off), now, now)
			w.dieWhileItRuns(clock, deliver(1))
			rec, err := w.records().Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.SubmittedAt.Sub(now.Add(off)); got.Abs() > time.Minute {
				t.Errorf("got a record of %v from the server's time, want about none", got)
			}
			if err := handle(t.Context(), w.workerWith("w2", healthy{}, clock), deliver(2)); err != nil {
				t.Fatal(err)
			}
			events := w.events()
			if len(events) != 1 || events[0].Status != task.Succeeded {
				t.Fatalf("got %+v, want one success", events)
			}
			if got := events[0].FinishedAt.Sub(events[0].SubmittedAt); got < 0 || got > time.Minute {
				t.Errorf("got a run of %v, want some milliseconds", got)
			}
		})
	}
}

// expires_at is a moment by the server's clock.
func TestATaskExpiresByTheServersClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	clock := &servertime.Clock{}
	now := time.Now()
	clock.Observe(now.Add(2*time.Hour), now, now)
	expires := now.Add(time.Hour).Format(time.RFC3339)
	deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":"a","url":"https://example.com","expires_at":%q}`, expires))
	if err := handle(t.Context(), w.workerWith("w1", healthy{}, clock), deliver(1)); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error == nil || events[0].Error.Code != task.Expired {
		t.Errorf("got %+v, want expired", events)
	}
}

// The server's time is known to some milliseconds only. A task that is over at once still ends after it was requested.
func TestTheTimesOfAnEventAreInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	clock := &servertime.Clock{}
	now := time.Now()
	clock.Observe(now.Add(-300*time.Millisecond), now, now)
	for _, body := range []string{`{"task_id":"a","prompt":"a","url":"https://example.com"}`, `{"task_id":"b"}`} {
		if err := handle(t.Context(), w.workerWith("w1", healthy{}, clock), w.request(body)(1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, ev := range w.events() {
		if ev.FinishedAt.Before(ev.RequestedAt) || ev.FinishedAt.Before(ev.SubmittedAt) {
			t.Errorf("%s: requested %v, submitted %v, finished %v", ev.TaskID, ev.RequestedAt, ev.SubmittedAt, ev.FinishedAt)
		}
	}
}
