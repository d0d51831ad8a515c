package dashboard_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// events is an open page: what the server has sent so far.
type events struct {
	*syncBuffer
	ended chan struct{} // closed when the server sends no more
}

// open opens what keeps a page up to date, until the test ends.
func (s *site) open(path string) events {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	e, opened := events{&syncBuffer{}, make(chan struct{})}, make(chan string, 1)
	go func() {
		defer close(e.ended)
		resp, err := s.client.Do(req)
		if err != nil {
			opened <- err.Error()
			return
		}
		defer resp.Body.Close()
		opened <- resp.Header.Get("Content-Type")
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			_, _ = fmt.Fprintln(e, lines.Text())
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-e.ended
	})
	if got := <-opened; got != "text/event-stream" {
		s.t.Fatalf("%s: got %q, want a stream", path, got)
	}
	return e
}

// await waits until the page was sent a text.
func (e events) await(t *testing.T, want string) {
	t.Helper()
	natstest.Eventually(t, func() error {
		if !strings.Contains(e.String(), want) {
			return fmt.Errorf("got %s\nwant it to contain %q", e, want)
		}
		return nil
	})
}

func TestAnOpenPageIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	overview, list, one, batch := s.open("/live/"), s.open(livePath(t, s, "/tasks?state=running")), s.open("/live/tasks/runs"), s.open("/live/batches/night")
	list.await(t, `<a id="task-0" href="/tasks/runs">`)
	s.finish(task.Record{TaskID: "runs", Batch: "night", Host: "shop.example"}, task.Event{Result: []byte(`"all is well"`)})
	overview.await(t, "66.7 % of those that ended")
	batch.await(t, "2 succeeded, 1 failed, 0 running, of 4")
	one.await(t, "all is well")
	one.await(t, "event: end")
	// The row stays where it is, although the filter does not take it any more.
	list.await(t, `<span class="badge good">succeeded</span>`)
	list.await(t, ">0 tasks<")
}

// livePath returns the address that keeps a page up to date, as the page has it.
func livePath(t *testing.T, s *site, path string) string {
	t.Helper()
	_, after, found := strings.Cut(s.get(path).body, `data-live="`)
	live, _, _ := strings.Cut(after, `"`)
	if !found {
		t.Fatalf("%s: got no address", path)
	}
	return strings.ReplaceAll(live, "&amp;", "&")
}

func TestAListThatIsOpenSaysHowManyTasksAreNewer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.record(task.Record{TaskID: "first", State: task.Running})
	s.eventually("/tasks", "1 task<")
	list := s.open(livePath(t, s, "/tasks"))
	list.await(t, "first")
	for i := range 3 {
		s.record(task.Record{TaskID: fmt.Sprint("newer", i), State: task.Running})
	}
	list.await(t, "3 other tasks have changed since")
	if strings.Contains(list.String(), `href="/tasks/newer`) {
		t.Errorf("got %s, want the rows to stay as they are", list)
	}
}

func TestPagesSayThatNATSIsAwayAndComeBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.record(task.Record{TaskID: "a", State: task.Running})
	s.eventually("/tasks", "1 task<")
	open := s.open("/live/")
	s.Server.Stop()
	open.await(t, "NATS is unreachable. The figures are from")
	for _, path := range []string{"/", "/tasks", "/batches", "/dead-letters"} {
		if got := s.get(path); got.code != http.StatusOK || !strings.Contains(got.body, "NATS is unreachable. The figures are from") {
			t.Errorf("%s: got %d, %s\nwant the page with a banner", path, got.code, got.body)
		}
	}
	if got := s.get("/tasks/a"); got.code != http.StatusServiceUnavailable || !strings.Contains(got.body, "NATS is unreachable, so this task cannot be read now.") {
		t.Errorf("a task: got %d, %s\nwant %d and why", got.code, got.body, http.StatusServiceUnavailable)
	}
	s.Server.Restart()
	s.record(task.Record{TaskID: "b", State: task.Running})
	s.eventually("/tasks", "2 tasks<")
	natstest.Eventually(t, func() error {
		if got := s.get("/").body; strings.Contains(got, "unreachable") {
			return fmt.Errorf("got %s, want no banner any more", got)
		}
		return nil
	})
}
