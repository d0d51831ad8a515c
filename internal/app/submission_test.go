package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// faulty is the plan of a task whose first submissions meet these faults. Later submissions succeed.
func faulty(faults ...anchortest.Fault) anchortest.Plan {
	return anchortest.Plan{Submit: faults, Result: json.RawMessage(`"ok"`)}
}

// withHeader returns the fault with a header in its answer.
func withHeader(f anchortest.Fault, name, value string) anchortest.Fault {
	f.Header = map[string]string{name: value}
	return f
}

type row struct {
	name     string
	plan     anchortest.Plan
	fields   []string
	code     task.Code // "" for success
	attempts int
	accepted int
	first    bool // the next row begins after the end of this one
}

// runRows submits all rows to one worker, in a world of its own.
func runRows(t *testing.T, rows []row) {
	t.Helper()
	w := newWorld(t)
	w.startReady("w1", "ANCHORBROWSER_REQUEST_TIMEOUT=1s")
	w.runRows(rows)
}

// runRows submits all rows, and compares the events and the stand-in's counts with them.
func (w *world) runRows(rows []row) {
	w.t.Helper()
	id := func(i int) string { return fmt.Sprint("row", i) }
	for i, r := range rows {
		w.submit(id(i), r.plan, r.fields...)
		if r.first {
			w.waitState(id(i), task.Succeeded)
		}
	}
	byID := map[string]stored{}
	for _, ev := range w.waitEvents(len(rows)) {
		byID[ev.TaskID] = ev
	}
	w.waitQuiet()
	for i, r := range rows {
		ev, seen := byID[id(i)], w.seen(id(i), r.plan)
		if ev.code() != r.code || ev.Attempts != r.attempts || seen.Accepted != r.accepted || seen.Posts != r.attempts {
			w.t.Errorf("%s: got code %q after %d attempts (%d POSTs, %d accepted), want %q after %d (%d accepted); %+v",
				r.name, ev.code(), ev.Attempts, seen.Posts, seen.Accepted, r.code, r.attempts, r.accepted, ev.Error)
		}
	}
}

func TestASubmissionThatIsRefusedEndsTheTask(t *testing.T) {
	t.Parallel()
	var rows []row
	for _, status := range []int{400, 404, 405, 409, 413, 418, 422, 451} {
		rows = append(rows, row{name: fmt.Sprint(status), plan: faulty(anchortest.Answer(status)), code: task.Rejected, attempts: 1})
	}
	rows = append(rows, row{name: "HTML", plan: faulty(anchortest.HTML(400)), attempts: 2, accepted: 1})
	runRows(t, rows)
}

func TestARedirectIsRefusedAndNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	runRows(t, []row{{name: "307", plan: faulty(anchortest.Redirect(elsewhere.URL)), code: task.Rejected, attempts: 1}})
	if n := followed.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

func TestASubmissionThatIsNotAcceptedNowIsRetried(t *testing.T) {
	t.Parallel()
	var rows []row
	for name, fault := range map[string]anchortest.Fault{
		"429": anchortest.RateLimited(1), "503 with Retry-After": anchortest.Unavailable(1), "408": anchortest.Answer(408),
		"425": anchortest.Answer(425), "401": anchortest.Answer(401), "402": anchortest.Answer(402), "403": anchortest.Answer(403),
	} {
		rows = append(rows, row{name: name, plan: faulty(fault), attempts: 2, accepted: 1})
	}
	runRows(t, rows)
}

// If nothing listens at the address, the request cannot have been sent: the task waits until the API is back.
func TestASubmissionWithoutAConnectionIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.api.Close()
	if w.api.Start("127.0.0.2:0") != nil && w.api.Start("127.0.0.1:0") != nil { // at the first one, no other test's server takes the port
		t.Fatal("the stand-in did not start")
	}
	p := w.startReady("w1")
	w.api.Close()
	w.submit("a", done)
	p.ready("unreachable")
	if err := w.api.Start(w.api.Addr()); err != nil {
		t.Fatal(err)
	}
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded || ev.Attempts < 2 {
		t.Errorf("got %+v, want success after a first attempt", ev.Event)
	}
	if log := w.seen("a", done); log.Posts != 1 || log.Accepted != 1 {
		t.Errorf("got %d POSTs, %d accepted, want one", log.Posts, log.Accepted)
	}
	p.ready("submissions: ok")
}

func TestASubmissionOfUnknownOutcomeIsReportedAndNotRepeated(t *testing.T) {
	t.Parallel()
	var rows []row
	for name, fault := range map[string]anchortest.Fault{
		"500": anchortest.Answer(500), "503": anchortest.Answer(503), "HTML 502": anchortest.HTML(502), "reset": anchortest.Reset(),
		"no id": anchortest.NoID(), "garbage": anchortest.Garbage(), "HTML 200": anchortest.HTML(200), "time-out": anchortest.Hang(),
	} {
		rows = append(rows, // with a success in between: too many unknown outcomes in a row would pause submissions
			row{name: "success", plan: done, attempts: 1, accepted: 1, first: true},
			row{name: name, plan: faulty(fault), code: task.SubmissionUnknown, attempts: 1},
			row{name: name + ", accepted", plan: faulty(fault.ButAccepted()), code: task.SubmissionUnknown, attempts: 1, accepted: 1},
		)
	}
	runRows(t, rows)
}

func TestASubmissionOfUnknownOutcomeIsRepeatedOnceIfAllowed(t *testing.T) {
	t.Parallel()
	resubmit := []string{`"on_unknown_submission":"resubmit"`}
	lost := anchortest.Reset().ButAccepted()
	runRows(t, []row{
		{name: "lost once", plan: faulty(lost), fields: resubmit, attempts: 2, accepted: 2},
		{name: "never accepted", plan: faulty(anchortest.Answer(500)), fields: resubmit, attempts: 2, accepted: 1},
		{name: "lost twice", plan: faulty(lost, lost), fields: resubmit, code: task.SubmissionUnknown, attempts: 2, accepted: 2},
	})
}

func TestARequestExpiresWhileSubmissionsArePaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	w.submit("pauses", faulty(withHeader(anchortest.Answer(429), "Retry-After", "20")))
	natstest.Eventually(t, func() error { return p.logged("submissions paused") })
	at := time.Now().Add(2 * time.Second)
	w.submit("expires", done, fmt.Sprintf(`"expires_at":%q`, at.Format(time.RFC3339Nano)))
	w.submit("late", done, `"expires_at":"2020-01-01T00:00:00Z"`)
	byID := map[string]stored{}
	for _, ev := range w.waitEvents(2) {
		byID[ev.TaskID] = ev
	}
	for _, id := range []string{"expires", "late"} {
		if ev := byID[id]; ev.code() != task.Expired || ev.Attempts != 0 {
			t.Errorf("%s: got %+v, want expired", id, ev.Event)
		}
	}
	if late := byID["expires"].FinishedAt.Sub(at); late < 0 || late > 15*time.Second {
		t.Errorf("got the event %v after expires_at, want it at that moment", late)
	}
	if n := w.seen("expires", done).Posts; n != 0 {
		t.Errorf("got %d POSTs of an expired request", n)
	}
}

// A task that may not use its session must not stop the others. It ends at its third 403 if others were accepted in between.
func TestAThird403WhileOthersAreAcceptedIsTheTasksOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("foreign", faulty(anchortest.Answer(403).Repeated(-1)), `"sessionId":"somebody-elses"`)
	for i := range 6 {
		w.submit(fmt.Sprint("t", i), running(time.Second))
	}
	go func() { // the others keep coming
		for i := range 20 {
			pause(t, 500*time.Millisecond)
			if t.Context().Err() != nil {
				return
			}
			_, _ = w.js.Publish(t.Context(), "tasks.request", fmt.Appendf(nil, `{"task_id":"more%d","prompt":"more","url":"https://example.com"}`, i))
		}
	}()
	natstest.Eventually(t, func() error {
		for _, ev := range w.events() {
			if ev.TaskID == "foreign" {
				if ev.code() != task.Rejected || ev.Attempts < 3 {
					t.Errorf("got %+v, want rejected at the third 403", ev.Event)
				}
				return nil
			}
		}
		return fmt.Errorf("no event of the task that meets 403")
	})
}
