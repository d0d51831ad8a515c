package dashboard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// token is what visitors of the tests log in with.
const token = "a-token-that-is-long-enough"

// site is a dashboard over a queue, with a visitor.
type site struct {
	*operatortest.Site
	t      testing.TB
	url    string
	log    *syncBuffer
	client *http.Client // keeps cookies, and follows no redirects
}

// newSite starts a dashboard over an empty queue. With a token it lets visitors act.
func newSite(tb testing.TB, token task.Secret) *site {
	tb.Helper()
	s := &site{Site: operatortest.Start(tb), t: tb, log: &syncBuffer{}}
	s.serve(dashboard.Config{Addr: "127.0.0.1:0", Token: token})
	return s
}

// serve runs a dashboard until the test ends, after it was prepared.
func (s *site) serve(cfg dashboard.Config, prepare ...func(*dashboard.Server)) {
	s.t.Helper()
	served, err := dashboard.New(s.t.Context(), cfg, s.Queue, zerolog.New(s.log))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range prepare {
		p(served)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- served.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.url = "http://" + served.Addr()
	s.client = newClient(s.t)
}

// newClient returns a browser without a page: it keeps cookies, and follows no redirects.
func newClient(tb testing.TB) *http.Client {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is what the dashboard answered.
type answer struct {
	code   int
	header http.Header
	body   string
}

// do sends a request with headers, which are names and values in turn.
func (s *site) do(method, path string, form url.Values, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, headers...)
}

// post sends a form. The fields are names and values in turn.
func (s *site) post(path string, fields ...string) answer {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return s.do(http.MethodPost, path, form)
}

// logIn logs the visitor in.
func (s *site) logIn() {
	s.t.Helper()
	if got := s.post("/login", "token", token); got.code != http.StatusSeeOther {
		s.t.Fatalf("log in: got %d, want %d", got.code, http.StatusSeeOther)
	}
}

// eventually waits until a page has all of these texts.
func (s *site) eventually(path string, wants ...string) {
	s.t.Helper()
	natstest.Eventually(s.t, func() error {
		got := s.get(path)
		for _, want := range wants {
			if !strings.Contains(got.body, want) {
				return fmt.Errorf("%s: got %d, %s\nwant it to contain %q", path, got.code, got.body, want)
			}
		}
		return nil
	})
}

// request publishes a request with an id, and more members.
func (s *site) request(id string, members ...string) uint64 {
	s.t.Helper()
	return s.Publish(operatortest.Request(id, members...))
}

// record writes a record as a worker does. What every record has is filled in.
func (s *site) record(r task.Record) {
	s.t.Helper()
	now := time.Now().UTC()
	if r.RequestedAt.IsZero() {
		r.RequestedAt = now.Add(-time.Minute)
	}
	if r.State != task.Waiting && r.SubmittedAt.IsZero() {
		r.SubmittedAt = now.Add(-30 * time.Second)
	}
	if r.State.Ended() && r.FinishedAt.IsZero() {
		r.FinishedAt = now
	}
	s.WriteRecord(r)
}

// finish stores the event and the record of a task that ends now.
func (s *site) finish(r task.Record, ev task.Event) {
	s.t.Helper()
	now := time.Now().UTC()
	ev.TaskID, ev.Status, ev.Batch = r.TaskID, task.Succeeded, r.Batch
	ev.RequestedAt, ev.SubmittedAt, ev.FinishedAt, ev.Worker = now.Add(-time.Minute), now.Add(-30*time.Second), now, "w1"
	r.State = task.Succeeded
	if ev.Error != nil {
		ev.Status, r.State, r.ErrorCode = task.Failed, task.Failed, ev.Error.Code
	}
	r.ResultSeq = s.WriteEvent(ev)
	s.record(r)
}

// letter stores a dead letter as a worker does.
func (s *site) letter(id, code, host, batch, body string) {
	s.t.Helper()
	s.WriteLetter(id, code, body, "Capstan-Host", host, "Capstan-Batch", batch)
}

// value returns the value of a key of the bucket by which workers are steered, or "".
func (s *site) value(key string) string {
	s.t.Helper()
	kv, err := s.JS.KeyValue(s.t.Context(), "task_control")
	if err != nil {
		s.t.Fatal(err)
	}
	entry, err := kv.Get(s.t.Context(), key)
	if err != nil {
		return ""
	}
	return string(entry.Value())
}

// syncBuffer collects a log.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
