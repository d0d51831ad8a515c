package standin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/test/process"
)

// start serves until the test ends and returns the URL.
func start(t *testing.T, cfg standin.Config) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- standin.Serve(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	})
	url := "http://" + cfg.Addr
	err = process.Until(t.Context(), "it answers", 10*time.Second, func() error {
		_, err := process.Call(t.Context(), http.MethodGet, url+"/_bench/count", nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func client(t *testing.T, url string) *anchor.Client {
	t.Helper()
	c, err := anchor.New(anchor.Config{APIKey: "bench", BaseURL: url, RequestTimeout: 10 * time.Second}, "test", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func submit(t *testing.T, c *anchor.Client, task string) string {
	t.Helper()
	id, err := c.Submit(t.Context(), "", fmt.Appendf(nil, `{"async":true,"prompt":"%s and more"}`, task))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantStatus(t *testing.T, c *anchor.Client, id, want string) {
	t.Helper()
	workflow, err := c.Status(t.Context(), id, anchor.MaxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	if workflow.Status != want {
		t.Errorf("status: got %q, want %q", workflow.Status, want)
	}
}

func TestWorkersClientIsUnderstood(t *testing.T) {
	url := start(t, standin.Config{Times: true})
	c := client(t, url+"/workers/w1")
	id := submit(t, c, "task-1")
	if got, want := len(id), 101; got != want {
		t.Errorf("workflow id: got %d bytes, want %d", got, want)
	}
	wantStatus(t, c, id, "COMPLETED")

	var counts standin.Counts
	ask(t, url+"/_bench/count", &counts)
	if counts.Posts != 1 || counts.Polls != 1 || counts.Workers["w1"] != 1 {
		t.Errorf("counts: got %+v, want one of each", counts)
	}
	var times map[string]standin.Times
	ask(t, url+"/_bench/times", &times)
	if at := times["task-1"]; at.Posted == 0 || at.Answered < at.Posted {
		t.Errorf("times: got %+v, want the task posted and then answered", times)
	}
}

func ask(t *testing.T, url string, into any) {
	t.Helper()
	answer, err := process.Call(t.Context(), http.MethodGet, url, nil)
	if err == nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestHeldWorkflowsEndWhenTheyAreToldTo(t *testing.T) {
	url := start(t, standin.Config{Hold: true})
	c := client(t, url)
	id := submit(t, c, "task-1")
	wantStatus(t, c, id, "RUNNING")
	if _, err := process.Call(t.Context(), http.MethodPut, url+"/_bench/end", nil); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, c, id, "COMPLETED")
}

func TestWorkflowRunsItsTime(t *testing.T) {
	c := client(t, start(t, standin.Config{Run: time.Hour}))
	wantStatus(t, c, submit(t, c, "task-1"), "RUNNING")
}

func TestTaskRunsAsLongAsItsPromptSays(t *testing.T) {
	url := start(t, standin.Config{Times: true})
	c := client(t, url)
	long, short := submit(t, c, "long 1h"), submit(t, c, "short 1ns")
	wantStatus(t, c, long, "RUNNING")
	wantStatus(t, c, long, "RUNNING")
	wantStatus(t, c, short, "COMPLETED")

	var times map[string]standin.Times
	ask(t, url+"/_bench/times", &times)
	if at := times["long"]; at.Polls != 2 || at.Answered != 0 || at.Run != time.Hour.Nanoseconds() || at.Longest == 0 || at.Latest <= at.Posted {
		t.Errorf("long: got %+v, want two polls and no end", at)
	}
	if at := times["short"]; at.Polls != 1 || at.Answered != at.Latest {
		t.Errorf("short: got %+v, want one poll that told of the end", at)
	}
}
