package board_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestABoardExplainsATaskAsTheToolDoes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fill()
	seq := s.WriteEvent(task.Event{TaskID: "late", Status: task.Failed, Error: task.NewError(task.Timeout, "too slow")})
	s.WriteRecord(task.Record{TaskID: "late", State: task.Failed, ErrorCode: task.Timeout, ResultSeq: seq})
	s.WriteEvent(task.Event{TaskID: "refused", Status: task.Failed, Error: task.NewError(task.InvalidRequest, "no prompt")})
	s.WriteEvent(task.Event{TaskID: "old", Status: task.Succeeded})
	b := s.board()
	nextPoll := func(context.Context, string) time.Time { return time.Time{} }
	for _, id := range []string{"q0", "q1", "q4", "done1", "late", "refused", "old", "nobody"} {
		want, wanted, err := inspect.Why(t.Context(), s.Queue, id, nextPoll)
		if err != nil {
			t.Fatal(err)
		}
		got, found, err := b.Why(t.Context(), id, nextPoll, inspect.InShell)
		if err != nil {
			t.Fatal(err)
		}
		if withoutTimes(got) != withoutTimes(want) || found.State != wanted.State || found.Position != wanted.Position {
			t.Errorf("%s: got %s (%s, %d)\nwant %s (%s, %d)", id, got, found.State, found.Position, want, wanted.State, wanted.Position)
		}
	}
}

// withoutTimes returns a text without its digits: the two were made at different moments.
func withoutTimes(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

func TestTheRequestOfATaskIsShownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	request := func(id string) string {
		return operatortest.Request(id, fmt.Sprintf(`"secret_values":{"PIN":"hunter2-%s"}`, id))
	}
	seq := s.Publish(request("runs"))
	s.Publish(request("queued"))
	s.WriteRecord(task.Record{TaskID: "runs", State: task.Running, RequestSeq: seq})
	s.WriteLetter("failed", "timeout", request("failed"))
	s.WriteRecord(task.Record{TaskID: "failed", State: task.Failed, RequestSeq: 4711})
	s.WriteRecord(task.Record{TaskID: "ended", State: task.Succeeded, RequestSeq: 4712})
	s.WriteRecord(task.Record{TaskID: "impostor", State: task.Running, RequestSeq: seq})
	s.WriteLetter("lost", "timeout", "", "Capstan-Body", "removed")
	s.WriteRecord(task.Record{TaskID: "lost", State: task.Failed, RequestSeq: 4713})
	b := s.board()
	for id, want := range map[string]bool{"runs": true, "queued": true, "failed": true, "ended": false, "impostor": false, "lost": false} {
		_, found, err := b.Why(t.Context(), id, nil, inspect.InShell)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Request(t.Context(), found)
		switch {
		case want && (err != nil || !strings.Contains(string(got), "[redacted:PIN]") || strings.Contains(string(got), "hunter2")):
			t.Errorf("%s: got %s, %v, want the request without its secret", id, got, err)
		case !want && !errors.Is(err, operator.ErrNoRequest):
			t.Errorf("%s: got %s, %v, want %v", id, got, err, operator.ErrNoRequest)
		}
	}
}
