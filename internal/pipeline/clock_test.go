package pipeline_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// The clock of a worker is off by hours. Records and events use the server's time, so that a task that is taken over
// neither times out early nor late.
func TestAClockThatIsOffChangesNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(body(`,"timeout":"1h"`))
			// A worker whose clock is off sees the server's clock as off.
			w.clock = &servertime.Clock{}
			w.setClock(off)
			now := time.Now()
			w.die("w1", &death{step: "status"}, deliver(1))
			rec, err := w.records().Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.SubmittedAt.Sub(now.Add(off)); got.Abs() > 10*time.Minute {
				t.Errorf("got a record of %v from the server's time, want about none", got)
			}
			w.finish("w2", deliver(2))
			ev := w.wantOneEvent(success, 1)
			if got := ev.FinishedAt.Sub(ev.SubmittedAt); got < 0 || got > 10*time.Minute {
				t.Errorf("got a run of %v, want a short one", got)
			}
		})
	}
}

// expires_at is a moment by the server's clock.
func TestATaskExpiresByTheServersClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock = &servertime.Clock{}
	w.setClock(2 * time.Hour)
	w.finish("w1", w.request(body(`,"expires_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"`))(1))
	w.wantOneEvent(task.Expired, 0)
}

// The server's time is known to some milliseconds only. A task that is over at once still ends after it was requested.
func TestTheTimesOfAnEventAreInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock = &servertime.Clock{}
	w.setClock(-300 * time.Millisecond)
	w.finish("w1", w.request(body(""))(1))
	w.finish("w1", w.request(`{"task_id":"b"}`)(1))
	for _, ev := range w.events() {
		if ev.FinishedAt.Before(ev.RequestedAt) || ev.FinishedAt.Before(ev.SubmittedAt) {
			t.Errorf("%s: requested %v, submitted %v, finished %v", ev.TaskID, ev.RequestedAt, ev.SubmittedAt, ev.FinishedAt)
		}
	}
}
