package anchor_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The server closes the connection of the first POST after the second has arrived on it.
func TestPostIsSentOnceOverADeadConnection(t *testing.T) {
	t.Parallel()
	received := make(chan string, 10)
	url := listen(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for i := range 2 {
			body, err := receive(r)
			if err != nil {
				return
			}
			received <- body
			if i == 0 {
				accept(conn)
			}
		}
	})
	client := newClient(t, config(url))
	if _, err := client.Submit(t.Context(), "", []byte("first")); err != nil {
		t.Fatalf("first: %v", err)
	}
	_, err := client.Submit(t.Context(), "", []byte("second"))
	if e := submitError(t, err); e.Kind != task.Unknown || e.HTTPStatus != 0 {
		t.Errorf("got %+v, want an unknown outcome without an answer", e)
	}
	if got := len(received); got != 2 {
		t.Errorf("got %d requests, want 2", got)
	}
}

// The server often closes a kept-alive connection at once, so that some POSTs are written to a closing one. No request must
// arrive twice, and none that is reported as NotNow must arrive.
func TestClosingConnectionsNeitherRepeatNorHideAPost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	received := map[string]int{}
	url := listen(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for range 2 {
			body, err := receive(r)
			if err != nil {
				return
			}
			mu.Lock()
			received[body]++
			mu.Unlock()
			accept(conn)
			if strings.HasSuffix(body, "0") {
				return
			}
		}
	})
	client := newClient(t, config(url))
	for i := range 300 {
		name := fmt.Sprintf("%03d", i)
		_, err := client.Submit(t.Context(), "", []byte(name))
		mu.Lock()
		times := received[name]
		mu.Unlock()
		if times > 1 {
			t.Errorf("POST %s arrived %d times", name, times)
		}
		switch {
		case err == nil && times != 1:
			t.Errorf("POST %s was accepted and arrived %d times", name, times)
		case err != nil && submitError(t, err).Kind == task.NotNow && times > 0:
			t.Errorf("POST %s arrived, got %v", name, err)
		}
	}
}

func TestUnsentRequestIsNotNow(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.NotFoundHandler())
	refusing.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = discard()
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, url := range map[string]string{
		"connection refused":    refusing.URL,
		"no such host":          "http://capstan.invalid",
		"no TLS":                strings.Replace(plain.URL, "http:", "https:", 1),
		"untrusted certificate": untrusted.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, config(url)).Submit(t.Context(), "session-1", []byte(body))
			want{kind: task.NotNow, reason: task.Unreachable}.check(t, "", err)
			if strings.Contains(err.Error(), "session-1") {
				t.Errorf("got %q, want no session in it", err)
			}
		})
	}
}

// The connection breaks after the client took it and before it wrote to it, as when a server closes an idle connection at
// that moment.
func TestConnectionLostBeforeTheFirstByteIsNotNow(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(net.Conn){
		"closed":      func(conn net.Conn) { _ = conn.Close() },
		"write fails": func(conn net.Conn) { _ = conn.SetWriteDeadline(time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := startAPI(t, anchortest.Plan{})
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(info httptrace.GotConnInfo) { hook(info.Conn) },
			})
			_, err := newClientOf(t, api).Submit(ctx, "", []byte(body))
			want{kind: task.NotNow, reason: task.Unreachable}.check(t, "", err)
			if posts := api.Totals().Posts; posts != 0 {
				t.Errorf("got %d POSTs, want none", posts)
			}
		})
	}
}

func TestTimeoutIsNotNowBeforeAndUnknownAfterTheRequestLeft(t *testing.T) {
	t.Parallel()
	t.Run("while shaking hands", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		cfg := config(strings.Replace(url, "http:", "https:", 1))
		cfg.RequestTimeout = 50 * time.Millisecond
		client := newClient(t, cfg)
		_, err := client.Submit(t.Context(), "", []byte(body))
		want{kind: task.NotNow, reason: task.Unreachable}.check(t, "", err)
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		silentAnswer(t, anchortest.Hang())
	})
	t.Run("accepted and no answer", func(t *testing.T) {
		t.Parallel()
		silentAnswer(t, anchortest.Hang().ButAccepted())
	})
	t.Run("half an answer", func(t *testing.T) {
		t.Parallel()
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, accepted[:20])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		cfg := config(server.URL)
		cfg.RequestTimeout = 50 * time.Millisecond
		_, err := newClient(t, cfg).Submit(t.Context(), "", []byte(body))
		want{kind: task.Unknown}.check(t, "", err)
		if !strings.Contains(err.Error(), "no complete answer within 50ms") {
			t.Errorf("got %q, want it to name the timeout", err)
		}
	})
}

func silentAnswer(t *testing.T, fault anchortest.Fault) {
	t.Helper()
	api := startAPI(t, anchortest.Plan{Submit: []anchortest.Fault{fault}})
	cfg := config(api.URL())
	cfg.APIKey, cfg.RequestTimeout = "stand-in-key", 50*time.Millisecond
	_, err := newClient(t, cfg).Submit(t.Context(), "", []byte(body))
	want{kind: task.Unknown}.check(t, "", err)
}

func TestCanceledContextIsNotNow(t *testing.T) {
	t.Parallel()
	api := startAPI(t, anchortest.Plan{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := newClientOf(t, api)
	_, err := client.Submit(ctx, "", []byte(body))
	want{kind: task.NotNow, reason: task.Unreachable}.check(t, "", err)
	if posts := api.Totals().Posts; posts != 0 {
		t.Errorf("got %d POSTs, want none", posts)
	}
	_, err = client.Status(ctx, "w", anchor.MaxAnswer)
	if e := statusError(t, err); e.HTTPStatus != 0 {
		t.Errorf("got %+v, want no answer", e)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	const calls = 20
	opened := make(chan struct{}, 2*calls)
	arrived := make(chan struct{}, calls)
	release := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, `{"data":{"status":"RUNNING"}}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := newClient(t, config(server.URL))
	for range 2 {
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				if _, err := client.Status(t.Context(), "w", anchor.MaxAnswer); err != nil {
					t.Errorf("status: %v", err)
				}
			})
		}
		for range calls {
			<-arrived
		}
		for range calls {
			release <- struct{}{}
		}
		all.Wait()
	}
	if got := len(opened); got != calls {
		t.Errorf("got %d connections for two rounds of %d calls, want %d", got, calls, calls)
	}
}
