package redrive_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestRedriveSendsEachFailedTaskOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("ord-1", "timeout", `"batch":"night","max_steps":7`)
	s.fail("ord-2", "agent_failed")
	r := s.plan(anyTask, "max_steps=120", "model=gpt-5", "prompt=42")
	if got, want := summary(r), "ord-1 → ord-1.r1, ord-2 → ord-2.r1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.StoredRequests(); len(got) != 0 {
		t.Errorf("got %v, want a plan to send nothing", got)
	}
	counts, err := r.Send(t.Context(), 1000, nil)
	if want := (send.Counts{All: 2, Stored: 2}); err != nil || counts != want {
		t.Errorf("got %+v, %v, want %+v", counts, err, want)
	}
	var got map[string]any
	sent := s.StoredRequests()
	slices.Sort(sent) // they begin with their ids
	if err := json.Unmarshal([]byte(sent[0]), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"task_id": "ord-1.r1", "prompt": "42", "url": "https://shop.example.com/", "batch": "night", "max_steps": 120.0, "model": "gpt-5"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := summary(s.plan(anyTask)), "ord-1: a run is queued or in progress, ord-2: a run is queued or in progress"; got != want {
		t.Errorf("again: got %s, want %s", got, want)
	}
}

func TestTheNextRunFollowsTheOneThatFailed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, id := range []string{"a", "b", "c", "d", "e", "f.r1x"} {
		s.fail(id, "timeout")
	}
	s.fail("b.r1", "timeout")                                                                // with a letter of its own
	s.WriteRecord(task.Record{TaskID: "c.r1", State: task.Failed, ErrorCode: task.Rejected}) // without one
	s.WriteRecord(task.Record{TaskID: "c.r2", State: task.Failed, ErrorCode: task.Rejected})
	s.WriteRecord(task.Record{TaskID: "d.r1", State: task.Running, WorkflowID: "wf"})
	s.WriteRecord(task.Record{TaskID: "e.r1", State: task.Failed})
	s.WriteRecord(task.Record{TaskID: "e.r2", State: task.Succeeded})
	got := summary(s.plan(anyTask))
	if want := "a → a.r1, c → c.r3, f.r1x → f.r1x.r1, b.r1 → b.r2, d: a run is queued or in progress, e: a run has succeeded"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestANamedTaskWithoutALetterIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("a", "timeout")
	s.fail("b", "timeout")
	for _, c := range []struct {
		filter redrive.Filter
		want   string
	}{
		{redrive.Filter{Tasks: []string{"b.r1", "nosuch"}}, "b → b.r1, nosuch: " + string(redrive.NoLetter)},
		{redrive.Filter{Tasks: []string{"a", "b"}, Codes: []string{"step_limit"}}, ""},
	} {
		if got := summary(s.plan(c.filter)); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.filter, got, c.want)
		}
	}
}

func TestOnlyTheNewestLetterOfATaskIsChosen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("a", "timeout")
	s.fail("a.r1", "step_limit")
	s.fail("b", "timeout")
	s.WriteLetter("c", "timeout", operatortest.Request("c", `"batch":"night"`), "Capstan-Batch", "night", "Capstan-Host", "other.example")
	for _, c := range []struct {
		filter redrive.Filter
		want   string
	}{
		{redrive.Filter{Codes: []string{"timeout"}}, "b → b.r1, c → c.r1"},
		{redrive.Filter{Codes: []string{"step_limit", "timeout"}}, "a.r1 → a.r2, b → b.r1, c → c.r1"},
		{redrive.Filter{Hosts: []string{"other.example"}}, "c → c.r1"},
		{redrive.Filter{Batch: "night"}, "c → c.r1"},
		{redrive.Filter{Tasks: []string{"a", "b.r7"}}, "a.r1 → a.r2, b → b.r1"},
		{redrive.Filter{Codes: []string{"timeout"}, Tasks: []string{"a"}}, ""},
		{redrive.Filter{Since: time.Nanosecond}, ""},
	} {
		if got := summary(s.plan(c.filter)); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.filter, got, c.want)
		}
	}
	if !(redrive.Filter{}).IsEmpty() || anyTask.IsEmpty() {
		t.Error("got the wrong filter as the empty one")
	}
}

func TestWhatCannotRunAgainIsLeftOutWithTheReason(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	long := strings.Repeat("x", 126)
	s.fail("secret", "timeout", `"secret_values":{"PIN":"[redacted:PIN]"}`)
	s.WriteLetter("withheld", "invalid_request", "", "Capstan-Body", "withheld")
	s.WriteLetter("text", "invalid_request", "no json")
	s.WriteLetter("unknown", "invalid_request", operatortest.Request("unknown", `"urll":1`))
	s.WriteLetter("late", "expired", operatortest.Request("late", `"expires_at":"2020-01-02T03:04:05Z"`))
	s.WriteLetter(long, "timeout", operatortest.Request(long))
	s.WriteLetter("canceled", "canceled", operatortest.Request("canceled", `"batch":"day"`), "Capstan-Batch", "day")
	s.WriteLetter("elsewhere", "timeout", "", "Capstan-Object", "KV_task_tracker/x")
	if _, err := steer.CancelBatch(t.Context(), s.Queue, "day", task.Cancellation{}); err != nil {
		t.Fatal(err)
	}
	r := s.plan(anyTask)
	want := []redrive.LeftOut{
		{"secret", redrive.Redacted, ""},
		{"withheld", redrive.NotKept, "it may have held secrets"},
		{"text", redrive.NotARequest, "is not a JSON object"},
		{"unknown", redrive.NotARequest, `unknown field "urll"; did you mean "url"? (put new API parameters in "extra")`},
		{"late", redrive.ExpiresBefore, ""},
		{long, redrive.NoID, ""},
		{"canceled", redrive.BatchCanceled, "day"},
		{"elsewhere", redrive.NotKept, `"KV_task_tracker/x" is not in the object store task_results`},
	}
	if len(r.Tasks) != 0 || !reflect.DeepEqual(r.LeftOut, want) {
		t.Errorf("got  %v %v\nwant %v", summary(r), r.LeftOut, want)
	}
	// What a change mends is sent.
	if got := summary(s.plan(redrive.Filter{Tasks: []string{"secret", "late"}}, `secret_values={"PIN":"1234"}`, "expires_at=2099-01-02T03:04:05Z")); got != "secret → secret.r1, late → late.r1" {
		t.Errorf("got %s, want both", got)
	}
}

func TestALetterThatIsOlderThanTheMemoryOfTasksMustBeNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Config.Tracker.TTL = 10 * time.Millisecond
	s.fail("a", "timeout")
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if got := summary(s.plan(anyTask)); got != "a: "+string(redrive.TooOld) {
		t.Errorf("got %s, want it left out", got)
	}
	if got := summary(s.plan(redrive.Filter{Tasks: []string{"a"}})); got != "a → a.r1" {
		t.Errorf("named: got %s, want it sent", got)
	}
}

// Workers before DEAD_KEEP named no task, and kept only invalid and poisoned requests.
func TestLettersOfOlderVersionsNameTheirTaskInTheRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := func(body string, headers ...string) {
		s.Write(&nats.Msg{Subject: "tasks.dead", Data: []byte(body), Header: nats.Header{"Capstan-Stream": {"TASKS"}, "Capstan-Sequence": {"17"}, headers[0]: {headers[1]}}})
	}
	old("\ufeff"+operatortest.Request("in-body"), "x", "y")
	old(`{"prompt":"p","url":"https://Shop.example.com:8443/"}`, "Capstan-Original-Nats-Msg-Id", "in-header")
	old(`{"prompt":"p","url":"https://shop.example.com/"}`, "Capstan-Original-Nats-Msg-Id", "not an id")
	if got, want := summary(s.plan(redrive.Filter{Hosts: []string{"shop.example.com"}})), "in-body → in-body.r1, in-header → in-header.r1, TASKS-17 → TASKS-17.r1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestARedrivenRequestKeepsItsHeadersAndALargeBody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.PutObject("dead/1", operatortest.Request("a"))
	s.PutObject("dead/1/headers", `{"traceparent":["00-1"],"Nats-TTL":["1s"]}`)
	s.WriteLetter("a", "timeout", "", "Capstan-Object", "task_results/dead/1", "Capstan-Headers", "task_results/dead/1/headers")
	s.WriteLetter("b", "timeout", operatortest.Request("b"), "x-user", "ada", "Capstan-Original-Nats-Expected-Last-Sequence", "7", "Capstan-Original-Nats-Msg-Id", "b", "Capstan-Original-Capstan-Note", "n")
	r := s.plan(anyTask)
	if counts, err := r.Send(t.Context(), 0, nil); err != nil || counts.Stored != 2 {
		t.Fatalf("got %+v, %v, want both stored; plan: %s", counts, err, summary(r))
	}
	got := map[string]string{}
	for _, msg := range s.Stored("TASKS") {
		msg.Header.Del(nats.MsgIdHdr)
		got[string(msg.Data)] = fmt.Sprint(msg.Header)
	}
	want := map[string]string{operatortest.Request("a.r1"): "map[traceparent:[00-1]]", operatortest.Request("b.r1"): "map[Capstan-Note:[n] x-user:[ada]]"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestChangesAreCheckedBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"max_steps":           "must be FIELD=VALUE",
		"=1":                  "must be FIELD=VALUE",
		"task_id=x":           "task_id cannot be set",
		"max_stepz=1":         `unknown field "max_stepz"`,
		"max_steps=0":         "max_steps must be a plain integer",
		"max_steps=many":      "max_steps must be",
		"batch=a b":           "batch must be",
		"batch=null":          "batch must be",
		"metadata=[1]":        "metadata must be an object",
		"retries=9":           "retries must be",
		"max_steps=" + "\x1b": "max_steps must be",
	} {
		if _, err := redrive.ParseChange(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"max_steps=120", "prompt=true", "timeout=10m", `metadata={"a":1}`, "retry_on=[\"timeout\"]", "model=", "secret_refs={\"PIN\":\"shop/pin\"}"} {
		if _, err := redrive.ParseChange(text); err != nil {
			t.Errorf("%q: got %v, want it to do", text, err)
		}
	}
}

func BenchmarkPlanRedrive(b *testing.B) {
	const letters = 50_000
	s := newSite(b)
	for i := range letters {
		id := fmt.Sprintf("ord-%d", i)
		msg := &nats.Msg{Subject: "tasks.dead", Data: []byte(operatortest.Request(id)), Header: nats.Header{"Capstan-Task-Id": {id}, "Capstan-Code": {"timeout"}}}
		if _, err := s.JS.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-s.JS.PublishAsyncComplete()
	for b.Loop() {
		if got := len(s.plan(anyTask).Tasks); got != letters {
			b.Errorf("got %d tasks, want %d", got, letters)
		}
	}
}
