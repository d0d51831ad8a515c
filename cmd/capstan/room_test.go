package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// widest returns the widest line of what a terminal received, and its width.
func widest(text string) (string, int) {
	lines := strings.Split(colorCode.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), ""), "\n")
	line := slices.MaxFunc(lines, func(a, b string) int { return runewidth.StringWidth(a) - runewidth.StringWidth(b) })
	return line, runewidth.StringWidth(line)
}

// newWideReader returns a reader of a queue with a task whose texts are wider than any terminal, and an event of that.
func newWideReader(t *testing.T) *client {
	t.Helper()
	c := newReader(t)
	long := strings.Repeat("long ", 100)
	rec := task.Record{TaskID: "ord-1842", State: task.Failed, ErrorCode: task.Timeout, Batch: long, Host: strings.Repeat("日", 100), Owner: long, WorkflowID: long, UpdatedAt: time.Now()}
	c.put(t, "task_tracker", rec.TaskID, string(rec.JSON()))
	c.put(t, "task_control", "pause", `{"reason":"`+long+`"}`)
	c.store(t, rec.TaskID, false, task.Event{TaskID: rec.TaskID, Status: task.Failed, FinishedAt: time.Now(), Error: task.NewError(task.Timeout, long)})
	return c
}

func TestOutputFitsTheTerminal(t *testing.T) {
	c := newWideReader(t)
	for _, command := range []string{"list", "status", "get ord-1842", "why ord-1842", "watch --until-now"} {
		for _, columns := range []int{60, 80, 120, 200} {
			run := newTool(t, []string{"TERM=xterm", "NATS_URL=" + c.url()}, strings.Fields(command)...)
			_, wait := run.onTerminal(t, room{columns: columns, rows: 24})
			wait()
			least := columns - 16 // before a word that is too long
			switch command {
			case "why ord-1842": // is wrapped like a help text
				least = min(least, widestHelp-16)
			case "status": // has no text that is so long
				least = min(least, 100)
			}
			if line, width := widest(run.out.String()); width > columns || width < least {
				t.Errorf("%s at %d columns: got %d, want no more and not much less: %q", command, columns, width, line)
			}
		}
	}
}

// COLUMNS is for people, too: what goes into a pipe is never cut.
func TestTheVariableCOLUMNSCountsOnATerminalOnly(t *testing.T) {
	c := newWideReader(t)
	env := []string{"TERM=xterm", "COLUMNS=100", "NATS_URL=" + c.url()}
	for args, want := range map[string]int{"list": 100, "help get": 100} {
		onTerminal := newTool(t, env, strings.Fields(args)...)
		_, wait := onTerminal.onTerminal(t, room{columns: 60, rows: 24})
		wait()
		if line, got := widest(onTerminal.out.String()); got > want || got < want-20 {
			t.Errorf("%s on a terminal: got a line of %d columns, want about %d: %s", args, got, want, line)
		}
	}
	if _, got := widest(printed(t, env, "list")); got < 1000 {
		t.Errorf("list in a pipe: got lines of up to %d columns, want them whole", got)
	}
	for _, wrong := range []string{"0", "-5", "wide", "99999999999999999999"} {
		for _, args := range []string{"list", "help"} {
			run := newTool(t, []string{"TERM=xterm", "COLUMNS=" + wrong, "NATS_URL=" + c.url()}, args)
			_, wait := run.onTerminal(t, small)
			wait()
			if line, got := widest(run.out.String()); got > 80 || got < 60 {
				t.Errorf("%s with COLUMNS=%s: got a line of %d columns, want the terminal's 80: %s", args, wrong, got, line)
			}
		}
	}
}

// A bar that wraps could not be overwritten.
func TestTheBarOfASubmissionFitsTheTerminal(t *testing.T) {
	c := newReader(t)
	for columns, want := range map[int]string{54: "[#############", 120: "[" + strings.Repeat("#", barWidth) + "]"} {
		run := newTool(t, []string{"TERM=xterm", "NATS_URL=" + c.url()}, "submit", "-f", "-", "--batch", fmt.Sprint("b", columns))
		run.Stdin = strings.NewReader(strings.Repeat(`{"prompt":"p","url":"https://shop.example"}`+"\n", 100))
		_, wait := run.onTerminal(t, room{columns: columns, rows: 24})
		wait()
		bar := ""
		for part := range strings.SplitSeq(run.out.String(), "\r") {
			if part = eraseCode.ReplaceAllString(part, ""); strings.Contains(part, "] 100/100") {
				bar = part
			}
		}
		if width := runewidth.StringWidth(bar); width >= columns || !strings.Contains(bar, want) {
			t.Errorf("%d columns: got a bar of %d, want less, with %s: %q", columns, width, want, bar)
		}
	}
}

func TestAWatchedStatusFollowsTheSizeOfTheTerminal(t *testing.T) {
	c := newWideReader(t)
	run := newTool(t, []string{"TERM=xterm", "NATS_URL=" + c.url()}, "status", "--watch")
	resize, _ := run.onTerminal(t, room{columns: 120, rows: 40})
	run.out.await(t, "workers")
	if line, width := widest(run.out.String()); width <= 60 {
		t.Errorf("got a line of %d columns, want more than 60: %s", width, line)
	}
	resize(room{columns: 60, rows: 24})
	natstest.Eventually(t, func() error {
		_, after, drawn := strings.Cut(run.out.String(), "\x1b[H\x1b[2J")
		if line, width := widest(after); !drawn || !strings.Contains(after, "workers") || width > 60 {
			return errors.New("got " + line + ", want no line of more than 60 columns on a cleared screen")
		}
		return nil
	})
}
