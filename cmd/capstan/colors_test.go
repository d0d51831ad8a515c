package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// What the tool sends to a terminal besides text.
var (
	colorCode  = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	eraseCode  = regexp.MustCompile(`\x1b\[K`)           // of the bar
	redrawCode = regexp.MustCompile(`\x1b\[\d+A\x1b\[J`) // of a screen
)

// small is the size of a terminal that many start with.
var small = room{columns: 80, rows: 24}

// onTerminal starts the tool on a terminal of this size, which resize changes. wait reads it to the end of the tool.
func (r *tool) onTerminal(t *testing.T, size room) (resize func(room), wait func()) {
	t.Helper()
	terminal, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	resize = func(size room) {
		if err := pty.Setsize(terminal, &pty.Winsize{Cols: uint16(size.columns), Rows: uint16(size.rows)}); err != nil {
			t.Error(err)
		}
	}
	resize(size)
	r.Stdout, r.Stderr = line, line
	r.begin(t)
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(&r.out, terminal) // its error is that the tool has closed the line
	}()
	t.Cleanup(func() { _ = terminal.Close() })
	return resize, func() { <-ended }
}

// See no-color.org. A terminal with TERM=dumb understands no codes at all.
func TestATerminalGetsOnlyTheCodesThatItWants(t *testing.T) {
	c := newReader(t)
	c.put(t, "task_tracker", "a", string(task.Record{TaskID: "a", State: task.Failed, ErrorCode: task.Timeout, UpdatedAt: time.Now()}.JSON()))
	for name, want := range map[string]struct {
		env           []string
		colors, moves bool
	}{
		"colors":   {[]string{"TERM=xterm-256color"}, true, true},
		"NO_COLOR": {[]string{"TERM=xterm-256color", "NO_COLOR=1"}, false, true},
		"dumb":     {[]string{"TERM=dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(args ...string) *tool { return newTool(t, append(want.env, "NATS_URL="+c.url()), args...) }
			list := run("list")
			_, wait := list.onTerminal(t, small)
			wait()
			if got := list.out.String(); colorCode.MatchString(got) != want.colors || !strings.Contains(got, "✗ timeout") {
				t.Errorf("list: got %q, want colors: %v", got, want.colors)
			}
			file := filepath.Join(t.TempDir(), "a.jsonl")
			if err := os.WriteFile(file, []byte(`{"prompt":"p","url":"https://shop.example"}`+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			submit := run("submit", "-f", file, "--batch", name)
			_, wait = submit.onTerminal(t, small)
			wait()
			if got := submit.out.String(); eraseCode.MatchString(got) != want.moves || !strings.Contains(got, "1 stored") {
				t.Errorf("submit: got %q, want a bar: %v", got, want.moves)
			}
			status := run("status", "--watch")
			status.onTerminal(t, small)
			natstest.Eventually(t, func() error {
				if strings.Count(status.out.String(), "workers") < 2 {
					return errors.New("the status was shown once, want it twice")
				}
				return nil
			})
			if got := status.out.String(); redrawCode.MatchString(got) != want.moves || colorCode.MatchString(got) != want.colors {
				t.Errorf("status: got %q, want colors: %v, redrawn: %v", got, want.colors, want.moves)
			}
		})
	}
}
