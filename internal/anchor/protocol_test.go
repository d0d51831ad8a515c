package anchor_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// The connection stays open after each of these.
func TestIncompleteAnswersEndInTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		status int
	}{
		"101 with Upgrade":    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 101},
		"101 with bytes":      {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello", 101},
		"101 with a length":   {"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 20\r\n\r\n", 101},
		"101 compressed":      {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Encoding: gzip\r\n\r\n", 101},
		"101 in chunks":       {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n", 101},
		"101 alone":           {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101},
		"100 alone":           {"HTTP/1.1 100 Continue\r\n\r\n", 0},
		"103 alone":           {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0},
		"199 alone":           {"HTTP/1.1 199 Whatever\r\n\r\n", 0},
		"103 without end":     {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10_000), 0},
		"099":                 {"HTTP/1.1 099 None\r\nContent-Length: 20\r\n\r\n", 99},
		"header without end":  {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), 0},
		"half a body":         {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"data\":", 200},
		"half a chunk":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"data\":", 200},
		"half an error":       {"HTTP/1.1 500 Oh\r\nContent-Length: 20\r\n\r\n{\"error\":", 500},
		"another protocol":    {"SSH-2.0-OpenSSH_9.9\r\n", 0},
		"a status of letters": {"HTTP/1.1 OK\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(respond(t, c.answer))
			cfg.RequestTimeout = 200 * time.Millisecond
			client := newClient(t, cfg)
			began := time.Now()
			_, err := client.Submit(t.Context(), "", []byte(body))
			if e := submitError(t, err); e.Kind != task.Unknown || e.HTTPStatus != c.status || e.Message == "" {
				t.Errorf("submit: got %+v, want an unknown outcome and status %d", e, c.status)
			}
			_, err = client.Status(t.Context(), "w", anchor.MaxAnswer)
			if e := statusError(t, err); e.HTTPStatus != c.status || e.Message == "" || e.OwnForm {
				t.Errorf("status: got %+v, want status %d", e, c.status)
			}
			if _, err := client.Plan(t.Context()); err == nil {
				t.Error("plan: got no error")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestWorkflowIDIsReadFromATruncatedAnswer(t *testing.T) {
	t.Parallel()
	url := listen(t, func(conn net.Conn) {
		if _, err := receive(bufio.NewReader(conn)); err == nil {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n%s", accepted)
		}
	})
	id, err := newClient(t, config(url)).Submit(t.Context(), "", []byte(body))
	want{id: "w"}.check(t, id, err)
}
