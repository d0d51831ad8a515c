package anchortest_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

const syncBody = `{"prompt":"x","url":"https://example.com"}`

func TestASynchronousSubmissionIsAnsweredWithTheResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan   anchortest.Plan
		status int
		want   string
	}{
		"completed": {anchortest.Plan{Run: 20 * time.Millisecond, Result: []byte(`{"a":1}`)}, 200, `{"data":{"result":{"result":{"a":1}}}}`},
		"at once":   {anchortest.Plan{}, 200, `{"data":{"result":{"result":"done"}}}`},
		"failed":    {anchortest.Plan{Error: "no"}, 500, `{"error":{"code":500,"message":"no"}}`},
		"no prompt": {anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(422)}}, 422, `{"error":{"code":422,"message":"Unprocessable Entity"}}`},
		"with async false and bytes behind it": {
			anchortest.Plan{Submit: []anchortest.Fault{{Suffix: " "}}}, 200, `{"data":{"result":{"result":"done"}}} `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, planned(c.plan), anchortest.WithStartRate(anchortest.StartRate{Quota: 9, Window: time.Minute}))
			status, answer, header, err := call(t, s, "POST", webTask, syncBody)
			if err != nil || status != c.status || answer != c.want {
				t.Errorf("got %d %s %v, want %d %s", status, answer, err, c.status, c.want)
			}
			if c.status != 422 && header.Get("RateLimit") == "" {
				t.Error("got no RateLimit, want it as for other submissions")
			}
		})
	}
}

func TestAFailedSynchronousCallMayHaveStartedItsWorkflow(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Run: time.Hour, Submit: []anchortest.Fault{anchortest.Reset().ButAccepted()}}))
	if _, _, _, err := call(t, s, "POST", webTask, syncBody); err == nil {
		t.Error("got an answer, want a broken connection at once")
	}
	if got := s.Accepted("x"); got != 1 {
		t.Errorf("got %d workflows, want 1", got)
	}
}

func TestASynchronousWorkflowRunsOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	var log callLog
	s := start(t, planned(anchortest.Plan{Block: true}), anchortest.WithCallLog(log.add))
	ctx, giveUp := context.WithCancel(t.Context())
	var client sync.WaitGroup
	client.Go(func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+webTask, strings.NewReader(syncBody))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Anchor-Api-Key", s.Key())
		transport := &http.Transport{DisableKeepAlives: true}
		if resp, err := transport.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("got %s, want an error of the canceled call", resp.Status)
		}
	})
	for s.Accepted("x") == 0 && t.Context().Err() == nil {
		_ = s.Totals()
	}
	giveUp()
	client.Wait()
	if got := log.last(t, 1); got.Status != 0 { // the call is over while the workflow still runs
		t.Errorf("got %+v, want a call without an answer", got)
	}
	s.ReleaseAll()
	id := s.Log("x").Workflows[0]
	pollUntil(t, s, id, "COMPLETED")
}

func TestASynchronousCallEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Block: true}))
	var client sync.WaitGroup
	client.Go(func() {
		if status, _, _, err := call(t, s, "POST", webTask, syncBody); err == nil {
			t.Errorf("got %d, want a broken connection", status)
		}
	})
	for s.Accepted("x") == 0 && t.Context().Err() == nil {
		_ = s.Totals()
	}
	s.Close()
	client.Wait()
}
