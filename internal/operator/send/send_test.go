package send_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// numbered returns a message with its number as its body and id.
func numbered(_ context.Context, i int) (*nats.Msg, error) {
	id := fmt.Sprint("m", i)
	return &nats.Msg{Subject: "tasks.request", Header: nats.Header{nats.MsgIdHdr: {id}}, Data: []byte(id)}, nil
}

func TestEachMessageIsSentOnceAndConfirmedByItsNumber(t *testing.T) {
	t.Parallel()
	const many = 1000
	s := operatortest.Start(t)
	if _, err := send.All(t.Context(), s.Queue, 10, numbered, nil); err != nil {
		t.Fatal(err)
	}
	confirmed := map[int]bool{} // no lock: it is never called twice at once
	fates, err := send.All(t.Context(), s.Queue, many, numbered, func(i int, ack *jetstream.PubAck) {
		confirmed[i] = true
		if (i < 10) != ack.Duplicate {
			t.Errorf("%d: got %+v, want the first ten to be duplicates", i, ack)
		}
	})
	if want := (send.Counts{All: many, Before: 10, Stored: many - 10}); err != nil || fates.Counts() != want || len(confirmed) != many {
		t.Errorf("got %+v, %v and %d confirmed, want %+v and all", fates.Counts(), err, len(confirmed), want)
	}
	if got := len(s.StoredRequests()); got != many {
		t.Errorf("got %d messages, want %d", got, many)
	}
}

func TestAMessageThatCannotBeMadeEndsTheSending(t *testing.T) {
	t.Parallel()
	s := operatortest.Start(t)
	lost := errors.New("the letter is gone")
	source := func(ctx context.Context, i int) (*nats.Msg, error) {
		if i == 3 {
			return nil, lost
		}
		return numbered(ctx, i)
	}
	fates, err := send.Requests(t.Context(), s.Queue, 5, source, nil)
	if !errors.Is(err, lost) || err.Error() != lost.Error() || fates[3] != send.NotSent {
		t.Errorf("got %v and fate %v, want %v and not sent", err, fates[3], lost)
	}
}

func TestWhyRequestsAreNotTakenIsSaidInWords(t *testing.T) {
	t.Parallel()
	s := operatortest.Start(t, "TASKS")
	fates, err := send.Requests(t.Context(), s.Queue, 1, numbered, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "no stream listens on tasks.request at ") || fates[0] != send.Refused {
		t.Errorf("no stream: got %v and fate %v, want that it is missing", err, fates[0])
	}
	limited, _ := operatortest.StartLimited(t, operatortest.PublishOnly("$JS.API.STREAM.INFO.*"))
	fates, err = send.Requests(t.Context(), limited, 1, numbered, nil)
	if err == nil || err.Error() != "publish to tasks.request: missing permission to publish to tasks.request" || fates[0] != send.Unknown {
		t.Errorf("no permission: got %v and fate %v, want the permission", err, fates[0])
	}
}

// The stream drops a message whose id it knows. So the same request has the same id, and another one of its task has not.
func TestTheIDOfARequestsMessageIsOfItsTaskAndItsContent(t *testing.T) {
	t.Parallel()
	cfg := operatortest.Config(t)
	id := func(text string) string {
		t.Helper()
		r, err := send.ParseRequest(cfg, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r.Message("tasks.request", nats.Header{nats.MsgIdHdr: {"of the letter"}}).Header.Get(nats.MsgIdHdr)
	}
	first := id(operatortest.Request("a"))
	if same := id(" " + operatortest.Request("a")); same != first || !strings.HasPrefix(first, "a/") {
		t.Errorf("got %s and %s, want the same", first, same)
	}
	for _, other := range []string{operatortest.Request("a", `"max_steps":7`), operatortest.Request("b")} {
		if got := id(other); got == first {
			t.Errorf("%s: got %s, want another id", other, got)
		}
	}
}
