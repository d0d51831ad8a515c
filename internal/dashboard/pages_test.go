package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// fill fills a queue with tasks in all states.
func fill(s *site) {
	s.t.Helper()
	const session = "b2f6d3c8-4a51-4f1e-9c57-0d8f5a7e6b21"
	seq := s.request("runs", `"batch":"night"`)
	s.Take(1)
	s.request("queued", `"batch":"night"`)
	s.record(task.Record{TaskID: "runs", State: task.Running, Batch: "night", Host: "shop.example", Owner: "w1", RequestSeq: seq, SessionID: session, LiveView: "https://live.example/?sessionId=" + session})
	s.record(task.Record{TaskID: "waits", State: task.Waiting, WaitsFor: task.ForPlan, Owner: "w1"})
	s.finish(task.Record{TaskID: "good", Batch: "night", Host: "shop.example", SessionID: session, SessionEnded: new(true), Steps: new(12), Credits: new(0.53)}, task.Event{Result: json.RawMessage(`{"heading":"Hello"}`)})
	runs := []task.Run{
		{WorkflowID: "wf-bad-1", Code: task.WorkflowFailed, SessionID: session, Steps: new(3), Credits: new(0.2)},
		{WorkflowID: "wf-bad-2", Code: task.StepLimit, SessionID: session, Steps: new(20)},
	}
	s.finish(task.Record{TaskID: "bad", Batch: "night", Host: "slow.example", Steps: new(23), Credits: new(0.2), Runs: runs[:1], Run: 1}, task.Event{Runs: runs, Error: task.NewError(task.StepLimit, "stopped after 20 steps")})
	s.letter("bad", "step_limit", "slow.example", "night", `{"task_id":"bad","prompt":"p","url":"https://slow.example/"}`)
}

// filledSite returns a dashboard that has read such a queue, with a visitor who has logged in.
func filledSite(t *testing.T, token task.Secret) *site {
	t.Helper()
	s := newSite(t, token)
	fill(s)
	if token != "" {
		s.logIn()
	}
	s.eventually("/tasks", "5 tasks")
	return s
}

func TestEachPageShowsTheQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	fill(s)
	for path, wants := range map[string][]string{
		"/":                  {"Overview", "step_limit", "slow.example", "No worker answers", `href="/batches/night"`, "1 plan"},
		"/tasks":             {"5 tasks", `href="/tasks/runs"`, `href="/tasks/queued"`, "step_limit", "for plan"},
		"/tasks/runs":        {"runs has run since", "Cancel…", "wf-runs", "&#34;prompt&#34;: &#34;p&#34;", "nats pub --jetstream", `href="/batches/night"`},
		"/tasks/queued":      {"Place in line", "queued"},
		"/tasks/good":        {"good succeeded", "&#34;heading&#34;: &#34;Hello&#34;", "The request is no longer stored."},
		"/tasks/bad":         {"bad failed", "step_limit: stopped after 20 steps", "Run again…"},
		"/batches":           {`href="/batches/night"`, "2 of 4"},
		"/batches/night":     {"Batch", "night", "step_limit", "slow.example"},
		"/dead-letters":      {"1 task", "step_limit", "slow.example", "/redrive?code=step_limit&amp;host=slow.example"},
		"/tasks/good/result": {"\"heading\": \"Hello\""},
	} {
		t.Run(path, func(t *testing.T) {
			here := *s
			here.t = t
			here.eventually(path, wants...)
			if got := here.get(path); got.code != http.StatusOK {
				t.Errorf("got %d, want %d", got.code, http.StatusOK)
			}
		})
	}
}

func TestTheBarOfTheLimitSaysThatItCountsTasks(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "") // one request is taken, and its task runs
	s.request("taken")
	s.Take(2)
	s.Put("task_control", "limits", `{"in_flight":25,"plan":40,"reason":"as set","changed_at":"2026-11-26T02:00:00Z"}`)
	s.eventually("/", "<h2>Tasks in progress</h2>", "of 25 tasks in progress; the plan has 40 browsers (as set).",
		"The bar counts tasks: 1 running, 2 on workers but not running, 22 slots free.")
}

func TestABatchThatHasEndedHasNoRate(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	s.finish(task.Record{TaskID: "last", Batch: "ended"}, task.Event{})
	s.eventually("/batches/ended", "All tasks have ended")
	if got := s.get("/batches/ended").body; strings.Contains(got, "Per minute") {
		t.Errorf("got %s, want no rate: that of now is of other batches", got)
	}
	s.eventually("/batches/night", "Per minute")
	s.eventually("/", "Per minute")
}

func TestTheCountOfTasksThatRanAgainIsNotNamedAsTheLink(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	s.record(task.Record{TaskID: "bad.r1", State: task.Running})
	s.eventually("/dead-letters", `<td data-label="Already run again" class="number">1</td>`, `">Run again…</a>`)
	s.eventually("/batches/night", "1 of them run again")
	if got := s.get("/dead-letters").body; strings.Contains(got, ">Run again<") || strings.Contains(got, ">Next<") {
		t.Errorf("got %s, want columns whose names say what is in them", got)
	}
}

// Requests that were refused have no record, so no list of tasks has them.
func TestRefusedRequestsAreLinkedToWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	refuse := func(id, batch string) {
		s.WriteEvent(task.Event{TaskID: id, Status: task.Failed, Batch: batch, Error: task.NewError(task.InvalidRequest, "x")}, "Capstan-Code", "invalid_request", "Capstan-Batch", batch)
		s.letter(id, "invalid_request", "", batch, "{")
	}
	refuse("wrong", "night")
	refuse("other", "day")
	s.record(task.Record{TaskID: "late", State: task.Failed, ErrorCode: task.InvalidRequest}) // a task that no worker can run
	s.eventually("/", `<a href="/dead-letters?code=invalid_request">invalid_request</a> <span class="detail">requests that were refused</span></td><td data-label="Tasks" class="number">2<`,
		`<a href="/tasks?code=invalid_request&amp;state=failed">invalid_request</a></td><td data-label="Tasks" class="number">1<`, "2 of them requests that were refused")
	s.eventually("/batches/day", `<a href="/dead-letters?batch=day">`, "all of them requests that were refused")
	s.eventually("/batches/night", `<a href="/dead-letters?batch=night&amp;code=invalid_request">invalid_request</a>`)
	s.eventually("/dead-letters?batch=night&code=invalid_request", "1 task of batch night, code invalid_request", `<a href="/tasks/wrong">`)
	if got := s.get("/dead-letters?batch=night&code=invalid_request").body; strings.Contains(got, "/tasks/other") || strings.Contains(got, "/tasks/bad") {
		t.Errorf("got %s, want only the request of the link", got)
	}
	if got := s.get("/dead-letters").body; strings.Contains(got, "One by one") {
		t.Errorf("got %s, want no list without a filter", got)
	}
}

func TestTheFiltersOfAListAreItsAddress(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	for query, want := range map[string]string{
		"state=failed": "bad", "state=running": "runs", "state=queued": "queued", "code=step_limit": "bad",
		"host=SHOP.example&state=succeeded": "good", "id=wai": "waits", "batch=night&state=queued": "queued",
	} {
		got := s.get("/tasks?" + query)
		if !strings.Contains(got.body, `href="/tasks/`+want+`"`) || !strings.Contains(got.body, ">1 task<") {
			t.Errorf("%s: got %s\nwant only %s", query, got.body, want)
		}
	}
	for query, want := range map[string]string{
		"state=asleep": "state must be one of", "code=nope": "code must be one of", "since=yesterday": "since must be a duration above 0, such as 12h (got &#34;yesterday&#34;)",
		"after=x": "after must be a time and a task id",
	} {
		if got := s.get("/tasks?" + query); got.code != http.StatusBadRequest || !strings.Contains(got.body, want) {
			t.Errorf("%s: got %d, %s\nwant %d and %q", query, got.code, got.body, http.StatusBadRequest, want)
		}
	}
}

func TestAListHasPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	now := time.Now().UTC()
	for i := range 120 {
		s.record(task.Record{TaskID: fmt.Sprintf("t%03d", i), State: task.Succeeded, UpdatedAt: now.Add(-time.Duration(i) * time.Second)})
	}
	s.eventually("/tasks", "120 tasks")
	path, seen := "/tasks", 0
	for range 3 {
		body := s.get(path).body
		seen += strings.Count(body, `<tr id="row-`)
		_, after, _ := strings.Cut(body, `id="older" href="`)
		path, _, _ = strings.Cut(after, `"`)
		path = strings.ReplaceAll(path, "&amp;", "&")
	}
	if seen != 120 || path != "" {
		t.Errorf("got %d tasks on three pages and %q after them, want 120 and nothing", seen, path)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/tasks/nobody":          {http.StatusNotFound, "There is no trace of nobody"},
		"/tasks/a%2Fb":           {http.StatusBadRequest, "task_id must be 1 to 128"},
		"/batches/a%2Fb":         {http.StatusBadRequest, "batch must be 1 to 64"},
		"/nowhere":               {http.StatusNotFound, "There is no page at this address."},
		"/login":                 {http.StatusNotFound, "Nobody needs to log in"},
		"/static/nothing":        {http.StatusNotFound, ""},
		"/cancel":                {http.StatusBadRequest, "Name either a task or a batch."},
		"/cancel?task=a&batch=b": {http.StatusBadRequest, "Name either a task or a batch."},
		"/redrive":               {http.StatusBadRequest, "Say which tasks"},
		"/redrive?since=-1h":     {http.StatusBadRequest, "since must be a duration above 0"},
	} {
		if got := s.get(path); got.code != want.code || !strings.Contains(got.body, want.text) {
			t.Errorf("%s: got %d, %s\nwant %d and %q", path, got.code, got.body, want.code, want.text)
		}
	}
}

func TestAQueueWithoutStreamsSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, name := range []string{"TASKS", "KV_task_tracker"} {
		if err := s.JS.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("/", "start a worker first")
}

func TestEveryPageHasTheHeadersThatGuardIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, path := range []string{"/", "/tasks", "/nowhere", "/static/style.css", "/tasks/nobody"} {
		h := s.get(path).header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
	}
	if got := s.get("/livez"); got.code != http.StatusOK || got.body != "ok\n" {
		t.Errorf("/livez: got %d %q, want 200 and ok", got.code, got.body)
	}
}

func TestNoPageNeedsAStyleOrAScriptOfItsOwn(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	for _, path := range []string{"/", "/tasks", "/tasks/runs", "/tasks/bad", "/batches", "/batches/night", "/dead-letters", "/pause", "/cancel?batch=night", "/redrive?batch=night"} {
		body := s.get(path).body
		for _, unwanted := range []string{" style=", "<style", "onclick", "javascript:", "hx-on", "<script>"} {
			if strings.Contains(body, unwanted) {
				t.Errorf("%s: got %q, which the policy refuses", path, unwanted)
			}
		}
		if !strings.Contains(body, `"includeIndicatorStyles":false`) || !strings.Contains(body, `"allowEval":false`) {
			t.Errorf("%s: got a page whose htmx adds styles or evaluates texts", path)
		}
	}
}
