package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAFailedTaskIsRunAgainAsOftenAsItsRequestAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails, retries int
		code           task.Code
		workflows      int
	}{
		{fails: 0, retries: 2, code: success, workflows: 1},
		{fails: 1, retries: 0, code: task.WorkflowFailed, workflows: 1},
		{fails: 1, retries: 2, code: success, workflows: 2},
		{fails: 2, retries: 2, code: success, workflows: 3},
		{fails: 9, retries: 2, code: task.WorkflowFailed, workflows: 3},
		{fails: 9, retries: 5, code: task.WorkflowFailed, workflows: 6},
	} {
		t.Run(fmt.Sprintf("%d of at most %d", c.fails, c.retries), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.finish("w1", w.request(w.planned(anchortest.Plan{Fails: c.fails}, fmt.Sprintf(`,"retries":%d`, c.retries)))(1))
			ev := w.wantOneEvent(c.code, c.workflows)
			w.wantRuns(ev, c.workflows)
		})
	}
}

// wantRuns checks that an event lists its runs, if there was more than one: each with its workflow, in their order.
func (w *world) wantRuns(ev task.Event, runs int) {
	w.t.Helper()
	if runs == 1 {
		runs = 0
	}
	if len(ev.Runs) != runs || ev.Attempts < runs {
		w.t.Fatalf("got %d attempts and the runs %+v, want %d runs", ev.Attempts, ev.Runs, runs)
	}
	seen := map[string]bool{}
	for i, run := range ev.Runs {
		failed := run.Code == task.WorkflowFailed
		if wantFailed := i < runs-1 || ev.Error != nil; failed != wantFailed || seen[run.WorkflowID] || run.WorkflowID == "" {
			w.t.Errorf("run %d: got %+v after %v", i, run, seen)
		}
		if run.SubmittedAt.IsZero() || run.FinishedAt.Before(run.SubmittedAt) {
			w.t.Errorf("run %d: got the times %v and %v", i, run.SubmittedAt, run.FinishedAt)
		}
		seen[run.WorkflowID] = true
	}
	if runs > 0 && ev.WorkflowID != ev.Runs[runs-1].WorkflowID {
		w.t.Errorf("got workflow %s, want that of the last run: %+v", ev.WorkflowID, ev.Runs)
	}
}

func TestATaskIsNotRunAgainAfterWhatItsRequestDoesNotName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan anchortest.Plan
		more string
		code task.Code
		runs int
	}{
		"rejected":             {anchortest.Plan{Submit: []anchortest.Fault{{Status: 422}}}, "", task.Rejected, 0},
		"submission_unknown":   {anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(500)}}, "", task.SubmissionUnknown, 0},
		"expired":              {anchortest.Plan{}, `,"expires_at":"2020-01-01T00:00:00Z"`, task.Expired, 0},
		"timeout":              {anchortest.Plan{Run: time.Hour}, `,"timeout":"50ms"`, task.Timeout, 1},
		"another code":         {anchortest.Plan{Fails: 9}, `,"retry_on":["step_limit"]`, task.WorkflowFailed, 1},
		"a timeout if allowed": {anchortest.Plan{Run: time.Hour}, `,"timeout":"50ms","retry_on":["timeout"]`, task.Timeout, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.finish("w1", w.request(w.planned(c.plan, `,"retries":2`+c.more))(1))
			w.wantOneEvent(c.code, c.runs)
		})
	}
}

// expires_at bounds only the first submission.
func TestARetryDoesNotExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	soon := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
	w.finish("w1", w.request(w.planned(anchortest.Plan{Fails: 1, Run: 3 * time.Second}, `,"retries":1,"expires_at":"`+soon+`"`))(1))
	w.wantOneEvent(success, 2)
}

func TestARetryIsSubmittedWithWhatReplacesTheRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	more := `,"max_steps":10,"retries":2,"retry_with":[{"max_steps":20},{"agent":"openai-cua"}]`
	request := w.planned(anchortest.Plan{Fails: 2}, more)
	w.finish("w1", w.request(request)(1))
	w.wantOneEvent(success, 3)
	var got []string
	for _, sent := range w.bodies() {
		got = append(got, fmt.Sprint(sent["agent"], " ", sent["max_steps"]))
	}
	if want := "[<nil> 10 <nil> 20 openai-cua 10]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Wherever a worker dies, no run is skipped and none is repeated: of a task that fails twice and may be retried twice,
// exactly three workflows are started, unless a POST was lost, of which the outcome is unknown.
func TestWhereverAWorkerDiesNoRunIsSkippedOrRepeated(t *testing.T) {
	t.Parallel()
	const unknown = task.SubmissionUnknown
	for _, c := range []struct {
		step      string
		survives  int // how often it survives the step before
		happened  bool
		code      task.Code
		workflows int
	}{
		{"save waiting", 0, false, success, 3},
		{"save waiting", 0, true, success, 3},
		{"save submitting", 0, false, success, 3},
		{"save submitting", 0, true, unknown, 1},
		{"submit", 1, false, unknown, 1},
		{"submit", 1, true, unknown, 2},
		{"save running", 1, false, unknown, 2},
		{"save running", 1, true, success, 3},
		{"save waiting", 1, false, success, 3},
		{"save waiting", 1, true, success, 3},
		{"save submitting", 1, false, success, 3},
		{"save running", 2, true, success, 3},
		{"publish", 0, false, success, 3},
		{"publish", 0, true, success, 3},
		{"save succeeded", 0, false, success, 3},
	} {
		t.Run(fmt.Sprintf("%s %d, happened %v", c.step, c.survives, c.happened), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(w.planned(anchortest.Plan{Fails: 2}, `,"retries":2`))
			w.die("w1", &death{step: c.step, survives: c.survives, happened: c.happened}, deliver(1))
			w.finish("w2", deliver(2))
			w.finish("w3", deliver(3))
			ev := w.wantOneEvent(c.code, c.workflows)
			if c.code == success {
				w.wantRuns(ev, c.workflows)
			}
		})
	}
}

// The wait for a retry is in the record: a worker that takes the task over neither shortens it nor begins it anew.
func TestAWorkerThatTakesOverWaitsForTheRestOfTheBackoff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(w.planned(anchortest.Plan{Fails: 1}, `,"retries":1`))
	w.retryWait = time.Second
	w.die("w1", &death{step: "save waiting", happened: true}, deliver(1))
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil || rec.WaitsFor != task.ForRetry || rec.Run != 1 || rec.WorkflowID != "" {
		t.Fatalf("got %+v, %v, want a record that waits for its retry", rec, err)
	}
	w.finish("w2", deliver(2))
	ev := w.wantOneEvent(success, 2)
	if ev.SubmittedAt.Before(rec.WaitsUntil) || ev.SubmittedAt.After(rec.WaitsUntil.Add(time.Second)) {
		t.Errorf("got a retry at %v, want it right after %v", ev.SubmittedAt, rec.WaitsUntil)
	}
}

func TestATaskIsCanceledBetweenTwoRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMarks()
	w.steering, w.retryWait = m, time.Hour
	s := newStall("save waiting")
	s.after = true
	verdict := w.start(s, w.request(w.planned(anchortest.Plan{Fails: 9}, `,"retries":3`))(1))
	close(s.resume)
	m.cancel("a", "")
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	ev := w.wantOneEvent(task.Canceled, 1)
	if len(ev.Runs) != 1 || ev.Runs[0].Code != task.WorkflowFailed || ev.Error.Message != "canceled; its next run was not submitted" {
		t.Errorf("got %q after the runs %+v, want the one that failed", ev.Error.Message, ev.Runs)
	}
}

// The event says that the task timed out, which is final here. When the worker dies before its record says so, the next one
// finds that the workflow has failed, after which the task would be run again.
func TestATaskWhoseEventIsStoredIsNotRunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(w.planned(anchortest.Plan{Fails: 9, Run: 500 * time.Millisecond}, `,"retries":2,"timeout":"50ms"`))
	w.die("w1", &death{step: "save failed"}, deliver(1))
	natstest.Eventually(t, func() error {
		for _, log := range w.api.Logs() {
			if !log.Ended.IsZero() {
				return nil
			}
		}
		return errors.New("the workflow runs")
	})
	w.finish("w2", deliver(2))
	w.wantOneEvent(task.Timeout, 1)
}

// The record alone knows how many runs there were, so a worker that waits for a retry writes it again.
func TestARecordThatIsLostInABackoffIsWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.retryWait = time.Hour
	p, d := w.worker("w1", healthy{}), w.request(w.planned(anchortest.Plan{Fails: 9}, `,"retries":1`))(1)
	ctx, cancel := context.WithCancel(t.Context())
	handled := make(chan error, 1)
	go func() { handled <- handle(ctx, p, d) }()
	isThere := func() error {
		rec, err := w.records().Get(t.Context(), "a")
		if err != nil || rec.Run != 1 || rec.WaitsFor != task.ForRetry || len(rec.Runs) != 1 {
			return fmt.Errorf("got %+v, %w, want a record of the second run", rec, err)
		}
		return nil
	}
	natstest.Eventually(t, isThere)
	must(t, w.stream(w.tracker.Stream()).Purge(t.Context()))
	p.RecordsLost()
	natstest.Eventually(t, isThere)
	cancel()
	if err := <-handled; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the task to be handed over", err)
	}
}

// A record can say anything. The worker must not panic over one ten times, and call its request poisoned.
func TestARecordThatWaitsForARetryOfNoRunIsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.retryWait = time.Hour
	deliver := w.request(w.planned(anchortest.Plan{Fails: 1}, `,"retries":1`))
	ctx, cancel := context.WithCancel(t.Context())
	handled := make(chan error, 1)
	p, d := w.worker("w1", healthy{}), deliver(1)
	go func() { handled <- handle(ctx, p, d) }()
	var rec task.Record
	natstest.Eventually(t, func() (err error) {
		if rec, err = w.records().Get(t.Context(), "a"); err == nil && rec.WaitsFor != task.ForRetry {
			err = fmt.Errorf("got %+v, want it to wait for its retry", rec)
		}
		return err
	})
	cancel()
	if err := <-handled; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the task to be handed over", err)
	}
	rec.Run, rec.WaitsUntil = 0, time.Now()
	if _, err := w.records().Save(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	w.finish("w2", deliver(2))
	w.wantOneEvent(success, 2)
}
