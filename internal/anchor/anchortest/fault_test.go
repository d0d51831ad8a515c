package anchortest_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// verdict returns what a client sees of a submission: a status, or "broken".
func verdict(t *testing.T, s *anchortest.Server, prompt string) string {
	t.Helper()
	status, _, _, err := call(t, s, "POST", webTask, body(prompt))
	if err != nil {
		return "broken"
	}
	return fmt.Sprint(status)
}

func TestFaultsStrikeInTheirOrderAndAreCounted(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Submit: []anchortest.Fault{
		anchortest.Answer(429).Repeated(2),      // not accepted
		anchortest.Unavailable(1),               // not accepted
		anchortest.Reset(),                      // doubtful, not accepted
		anchortest.Reset().ButAccepted(),        // doubtful, accepted
		anchortest.Answer(500).ButAccepted(),    // doubtful, accepted
		{After: time.Millisecond},               // accepted
		{Before: time.Millisecond, Cut: true},   // doubtful, accepted
		anchortest.NoID(),                       // doubtful, not accepted
		anchortest.HTML(502),                    // doubtful, not accepted
		anchortest.Redirect("http://a.invalid"), // not accepted
	}}))
	var got []string
	for range 12 {
		got = append(got, verdict(t, s, "x"))
	}
	want := "429 429 503 broken broken 500 200 broken 200 502 307 200"
	if joined := strings.Join(got, " "); joined != want {
		t.Errorf("got %s, want %s", joined, want)
	}
	log := s.Log("x")
	if log.Posts != 12 || log.Accepted != 5 || log.Doubtful != 6 || len(log.Bodies) != 12 {
		t.Errorf("got %d posts, %d accepted, %d doubtful, %d bodies, want 12, 5, 6, 12", log.Posts, log.Accepted, log.Doubtful, len(log.Bodies))
	}
	if got := s.StartedTwice(); len(got) != 1 || got[0] != "x" {
		t.Errorf("got %q started twice, want x", got)
	}
}

func TestEachWorkflowMeetsThePollFaults(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{
		Run: time.Hour, Poll: []anchortest.Fault{anchortest.State("PAUSED"), {Size: 1000}, anchortest.Answer(404).Repeated(-1)},
	}))
	for range 2 {
		_, id := submit(t, s, body("x"))
		if got := poll(t, s, id); got != `{"data":{"status":"PAUSED"}}` {
			t.Errorf("got %s, want PAUSED", got)
		}
		if got := poll(t, s, id); len(got) != 1000 {
			t.Errorf("got %d bytes, want 1000", len(got))
		}
		for range 3 {
			if got := poll(t, s, id); !strings.Contains(got, `"code":404`) {
				t.Errorf("got %s, want 404", got)
			}
		}
	}
	if got := s.Log("x").Polls; got != 10 {
		t.Errorf("got %d polls, want 10", got)
	}
}

func TestPromptCarriesAPlan(t *testing.T) {
	t.Parallel()
	plan := anchortest.Plan{
		Submit: []anchortest.Fault{{Status: 503, Header: map[string]string{"Retry-After": "1"}, Before: time.Millisecond}},
		Run:    1500 * time.Millisecond, Result: json.RawMessage(`{"a":1}`),
	}
	prompt, err := anchortest.Prompt("read the page", plan)
	if err != nil {
		t.Fatalf("prompt: %v", err)
	}
	got, err := anchortest.MarkedPlan(anchortest.Task{Prompt: prompt + " and go"})
	if err != nil || !reflect.DeepEqual(got, plan) {
		t.Errorf("got %+v %v, want %+v", got, err, plan)
	}
	s := start(t)
	if got := verdict(t, s, prompt) + " " + verdict(t, s, prompt); got != "503 200" {
		t.Errorf("got %s, want 503 200", got)
	}
}

func TestOutageStrikesEveryCallUntilItEnds(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, id := submit(t, s, body("x"))
	if status, answer, _, err := call(t, s, "PUT", "/_stand-in/outage", `{"status":503,"after":"1ms"}`); err != nil || status != 204 {
		t.Fatalf("begin outage: %d %s %v", status, answer, err)
	}
	for _, c := range []struct{ method, target string }{
		{"POST", webTask}, {"GET", webTask + "/" + id + "/status"}, {"GET", "/v1/billing"},
	} {
		if status, _, _, err := call(t, s, c.method, c.target, body("x")); err != nil || status != 503 {
			t.Errorf("%s %s: got %d %v, want 503", c.method, c.target, status, err)
		}
	}
	if status, _, _, err := call(t, s, "DELETE", "/_stand-in/outage", ""); err != nil || status != 204 {
		t.Fatalf("end outage: %d %v", status, err)
	}
	if got := verdict(t, s, "x"); got != "200" {
		t.Errorf("got %s, want 200", got)
	}
}

func TestASlowOutageDoesNotHideAPlan(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.FailAll(anchortest.Fault{After: time.Millisecond})
	prompt, err := anchortest.Prompt("x", anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(422)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, s, prompt); got != "422" {
		t.Errorf("got %s, want 422", got)
	}
}

func TestSameSeedRollsTheSameFaults(t *testing.T) {
	t.Parallel()
	roll := func() (verdicts []string) {
		s := start(t, anchortest.WithRandomFaults(7, []anchortest.Chance{
			{Probability: 0.3, Fault: anchortest.Answer(500)}, {Probability: 0.3, Fault: anchortest.Reset()},
		}, nil))
		for range 40 {
			verdicts = append(verdicts, verdict(t, s, "x"))
		}
		return verdicts
	}
	first := strings.Join(roll(), " ")
	if second := strings.Join(roll(), " "); first != second {
		t.Errorf("got %s and %s, want the same", first, second)
	}
	for _, v := range []string{"200", "500", "broken"} {
		if !strings.Contains(first, v) {
			t.Errorf("got no %s in %s", v, first)
		}
	}
}

func TestHungCallEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.Hang().ButAccepted()}}))
	var client sync.WaitGroup
	client.Go(func() {
		if got := verdict(t, s, "x"); got != "broken" {
			t.Errorf("got %s, want broken", got)
		}
	})
	for s.Accepted("x") == 0 && t.Context().Err() == nil {
		_ = s.Totals()
	}
	s.Close()
	client.Wait()
}

func TestAnotherProcessCanReadTheLog(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithTaskName(func(task anchortest.Task) string { return task.URL }))
	if _, _, _, err := call(t, s, "POST", webTask+"?sessionId=s-1", body("x")); err != nil {
		t.Fatalf("submit: %v", err)
	}
	_, answer, _, err := call(t, s, "GET", "/_stand-in/log", "")
	if err != nil {
		t.Fatalf("read log: %v", err)
	}
	var log struct {
		Totals anchortest.Totals
		Tasks  map[string]anchortest.Log
	}
	if err := json.Unmarshal([]byte(answer), &log); err != nil {
		t.Fatalf("parse log: %v", err)
	}
	if want := (anchortest.Totals{Tasks: 1, Posts: 1, Accepted: 1}); log.Totals != want {
		t.Errorf("got %+v, want %+v", log.Totals, want)
	}
	if got := log.Tasks["https://example.com"]; got.Accepted != 1 || len(got.Sessions) != 1 || got.Sessions[0] != "s-1" {
		t.Errorf("got %+v, want one workflow in session s-1", got)
	}
	if strings.Contains(answer, "prompt") {
		t.Errorf("got %s, want no bodies in it", answer)
	}
	if _, answer, _, err := call(t, s, "GET", "/_stand-in/totals", ""); err != nil || !strings.Contains(answer, `"accepted":1`) {
		t.Errorf("got totals %s, %v, want one workflow", answer, err)
	}
}

func TestTheLogHasTheTimesOfATask(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithTaskName(anchortest.FirstWord), planned(anchortest.Plan{
		Block: true, Poll: []anchortest.Fault{{}, anchortest.Answer(500)},
	}))
	before := time.Now()
	_, id := submit(t, s, body("task-1 and more"))
	_ = poll(t, s, id)
	if log := s.Log("task-1"); log.Posted.Before(before) || !log.Ended.IsZero() || !log.Answered.IsZero() {
		t.Errorf("got %+v while it runs, want only when it was posted", log)
	}
	s.Release("task-1")
	_ = poll(t, s, id) // fails
	ended := s.Log("task-1")
	if ended.Ended.Before(ended.Posted) || !ended.Answered.IsZero() {
		t.Errorf("got %+v after a poll that failed, want only when it was posted and ended", ended)
	}
	_ = poll(t, s, id)
	first := s.Log("task-1")
	if first.Answered.Before(first.Ended) {
		t.Errorf("got answered %v, want it after the end at %v", first.Answered, first.Ended)
	}
	_ = poll(t, s, id)
	if got := s.Log("task-1"); !got.Answered.Equal(first.Answered) || got.Polls != 4 {
		t.Errorf("got %+v, want the first answer to count", got)
	}
}
