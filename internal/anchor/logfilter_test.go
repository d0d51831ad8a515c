package anchor_test

import (
	"bytes"
	"fmt"
	"log"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// lines is a writer that many goroutines may use.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Not parallel: a process has one standard logger.
func TestBytesAfterAnAnswerAreNotLogged(t *testing.T) {
	var logged lines
	before := log.Writer()
	log.SetOutput(anchor.LogFilter(&logged))
	defer log.SetOutput(before)
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(accepted), accepted)
	url := respond(t, answer+`HTTP/1.1 200 OK: "pin-9988"`)
	client := newClient(t, config(url))
	for range 3 {
		id, err := client.Submit(t.Context(), "", []byte(body))
		want{id: "w"}.check(t, id, err)
	}
	deadline := time.After(10 * time.Second)
	for !strings.Contains(logged.String(), "Unsolicited response") {
		select {
		case <-deadline:
			t.Fatalf("got log %q, want a word on the bytes", logged.String())
		case <-time.After(time.Millisecond):
		}
	}
	log.Print("other lines pass")
	if got := logged.String(); strings.Contains(got, "pin") || strings.Contains(got, "HTTP/1.1") || !strings.Contains(got, "other lines pass\n") {
		t.Errorf("got log %q, want it without the bytes", got)
	}
}
