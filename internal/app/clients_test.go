package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// client runs one request as a program that uses one of the clients, connected to a server. The end of ctx is Ctrl-C.
type client func(ctx context.Context, url, request string) printed

// printed is what such a program prints.
type printed struct {
	Event  *task.Event     `json:"event"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// trial is a test with the client of one language.
type trial struct {
	*testing.T
	run client
}

// withEachClient runs a test with the client of each language. Those that cannot run here are skipped.
func withEachClient(t *testing.T, test func(trial)) {
	t.Helper()
	t.Parallel()
	for language, get := range map[string]func(*testing.T) client{"Go": goClient, "TypeScript": nodeClient, "Python": pythonClient} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			run := get(t)
			test(trial{t, func(ctx context.Context, url, request string) printed {
				ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // one that waits for ever is told by its error
				defer cancel()
				return run(ctx, url, request)
			}})
		})
	}
}

// begin runs a request in the background.
func (w *world) begin(ctx context.Context, run client, request string) <-chan printed {
	answered := make(chan printed, 1)
	go func() { answered <- run(ctx, w.nats.URL(), request) }()
	return answered
}

// request returns a request with a plan, and more members.
func (w *world) requestOf(id string, plan anchortest.Plan, members ...string) string {
	w.t.Helper()
	prompt, err := json.Marshal(w.prompt(id, plan))
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf(`{"task_id":%q,"url":"https://example.com","prompt":%s%s}`, id, prompt, strings.Join(append([]string{""}, members...), ","))
}

// waitRequests waits until the stream has stored so many requests, and so many of them are not answered.
func (w *world) waitRequests(stored, unanswered uint64) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		stream, err := w.js.Stream(w.t.Context(), "TASKS")
		if err != nil {
			return err
		}
		if s := stream.CachedInfo().State; s.LastSeq != stored || s.Msgs != unanswered {
			return fmt.Errorf("got %d requests and %d unanswered, want %d and %d", s.LastSeq, s.Msgs, stored, unanswered)
		}
		return nil
	})
}

// waitFollowed waits until so many consumers read the events.
func (w *world) waitFollowed(consumers int) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		stream, err := w.js.Stream(w.t.Context(), "TASK_RESULTS")
		if err != nil {
			return err
		}
		if got := stream.CachedInfo().State.Consumers; got < consumers {
			return fmt.Errorf("got %d consumers of events, want %d", got, consumers)
		}
		return nil
	})
}

// succeeded fails the test unless the event is that of a task that succeeded with a result.
func (p printed) succeeded(t *testing.T, id, result string) {
	t.Helper()
	if p.Event == nil || p.Error != "" {
		t.Fatalf("got the error %q, want an event", p.Error)
	}
	if p.Event.TaskID != id || p.Event.Status != task.Succeeded || string(p.Result) != result {
		t.Errorf("got %+v with the result %.100s, want %s succeeded with %.100s", p.Event, p.Result, id, result)
	}
}

// failed fails the test unless the event has a code.
func (p printed) failed(t *testing.T, code task.Code) {
	t.Helper()
	if p.Event == nil || p.Event.Error == nil || p.Event.Error.Code != code {
		t.Errorf("got %+v and the error %q, want an event with %s", p.Event, p.Error, code)
	}
}

// unanswered fails the test unless the error contains these texts.
func (p printed) unanswered(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if p.Event != nil || !strings.Contains(p.Error, text) {
			t.Errorf("got %+v and the error %q, want one with %q", p.Event, p.Error, text)
		}
	}
}
