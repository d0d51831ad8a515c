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
	var ports process.Ports
	port, err := ports.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- standin.Serve(ctx, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	})
	url := "http://" + cfg.Addr
	err = process.Until(t.Context(), "it answers", 10*time.Second, func() error {
		_, err := process.Call(t.Context(), http.MethodGet, url+standin.PollsPath, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func TestItUnderstandsTheWorkersClient(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    standin.Config
		prompt string
		want   string
	}{
		"ends at once":                  {standin.Config{}, "task-1 and more", "COMPLETED"},
		"never ends":                    {standin.Config{Hold: true}, "task-1 and more", "RUNNING"},
		"ends, as the prompt says":      {standin.Config{Times: true}, "task-1 1ns and more", "COMPLETED"},
		"runs, as the prompt says":      {standin.Config{Times: true}, "task-1 1h and more", "RUNNING"},
		"ends, if the prompt says none": {standin.Config{Times: true}, "task-1 and more", "COMPLETED"},
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t, tc.cfg)
			c, err := anchor.New(anchor.Config{APIKey: "bench", BaseURL: url, RequestTimeout: 10 * time.Second}, "test", prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			id, err := c.Submit(t.Context(), "", fmt.Appendf(nil, `{"async":true,"prompt":"%s"}`, tc.prompt))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(id), 101; got != want {
				t.Errorf("workflow id: got %d bytes, want %d", got, want)
			}
			workflow, err := c.Status(t.Context(), id, anchor.MaxAnswer)
			if err != nil || workflow.Status != tc.want {
				t.Errorf("status: got %q, %v, want %q", workflow.Status, err, tc.want)
			}
			wantTimes(t, url, tc.cfg.Times, tc.want == "COMPLETED")
		})
	}
}

// wantTimes checks what the stand-in has noted of one task that was polled once.
func wantTimes(t *testing.T, url string, noted, ended bool) {
	t.Helper()
	text, err := process.Call(t.Context(), http.MethodGet, url+standin.TimesPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	var times map[string]standin.Times
	if err := json.Unmarshal(text, &times); err != nil {
		t.Fatal(err)
	}
	got, found := times["task-1"]
	if found != noted || noted && (got.Posted == 0 || got.Polls != 1 || (got.Answered > got.Posted) != ended) {
		t.Errorf("times: got %+v, want noted: %t, ended: %t", times, noted, ended)
	}
}
