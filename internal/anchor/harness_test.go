package anchor_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(proxied{m}) }

// proxied runs the tests with a proxy in the environment, which net/http reads once. It uses no proxy for local addresses.
type proxied struct{ m *testing.M }

// Run starts a proxy that answers with the status at the beginning of the host, such as 407.example.
func (p proxied) Run() int {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ".")
		status, err := strconv.Atoi(name)
		if err != nil {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
	}))
	defer proxy.Close()
	for name, value := range map[string]string{"HTTP_PROXY": proxy.URL, "HTTPS_PROXY": proxy.URL, "NO_PROXY": "capstan.invalid"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	return p.m.Run()
}

const body = `{"prompt":"read","url":"https://example.com","async":true}`

// startAPI starts a stand-in that has the same plan for every task.
func startAPI(t *testing.T, plan anchortest.Plan) *anchortest.Server {
	t.Helper()
	api := anchortest.New(anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return plan }))
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(api.Close)
	return api
}

func config(url string) anchor.Config {
	return anchor.Config{APIKey: "sk-secret", BaseURL: url, RequestTimeout: 10 * time.Second}
}

func newClient(t *testing.T, cfg anchor.Config, opts ...anchor.Option) *anchor.Client {
	t.Helper()
	client, err := anchor.New(cfg, "1.2.3", prometheus.NewRegistry(), opts...)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// newClientOf returns a client for the stand-in, with its key.
func newClientOf(t *testing.T, api *anchortest.Server) *anchor.Client {
	t.Helper()
	cfg := config(api.URL())
	cfg.APIKey = anchor.Secret(api.Key())
	return newClient(t, cfg)
}

// serve starts a server with one handler.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func submitError(t *testing.T, err error) *task.SubmitError {
	t.Helper()
	e, ok := errors.AsType[*task.SubmitError](err)
	if !ok {
		t.Fatalf("got error %v, want a *task.SubmitError", err)
	}
	return e
}

func statusError(t *testing.T, err error) *task.StatusError {
	t.Helper()
	e, ok := errors.AsType[*task.StatusError](err)
	if !ok {
		t.Fatalf("got error %v, want a *task.StatusError", err)
	}
	return e
}

// listen serves raw connections, one goroutine each, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return "http://" + listener.Addr().String()
}

// receive reads a request to its end and returns its body.
func receive(conn *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(conn)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(req.Body)
	return string(body), err
}

// respond answers each request of a connection with the text, and then keeps the connection open until the client
// closes it.
func respond(t *testing.T, text string) (url string) {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			if _, err := receive(r); err != nil {
				return
			}
			_, _ = fmt.Fprint(conn, text)
		}
	})
}

const accepted = `{"data":{"status":"running","workflow_id":"w"}}`

func accept(conn net.Conn) {
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(accepted), accepted)
}

// discard logs nothing.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }
