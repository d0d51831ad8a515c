package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestStoredEventsAreReadOnce(t *testing.T) {
	s := operatortest.Start(t)
	events := s.Events(jetstream.OrderedConsumerConfig{})
	read := func() (ids []string) {
		if err := events.Read(t.Context(), func(ev operator.Event) { ids = append(ids, ev.TaskID) }); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got := read(); got != nil {
		t.Errorf("got %q, want none", got)
	}
	s.WriteEvent(task.Event{TaskID: "a", Status: task.Succeeded})
	if _, err := s.JS.Publish(t.Context(), "tasks.result", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	s.WriteEvent(task.Event{TaskID: "b", Status: task.Succeeded})
	if got := fmt.Sprint(read()); got != "[a b]" {
		t.Errorf("got %s, want both", got)
	}
	s.WriteEvent(task.Event{TaskID: "c", Status: task.Succeeded})
	if got := fmt.Sprint(read()); got != "[c]" {
		t.Errorf("got %s, want the new one", got)
	}
}

func TestAnEventIsFoundByItsSequenceAndByItsTask(t *testing.T) {
	s := operatortest.Start(t)
	first := s.WriteEvent(task.Event{TaskID: "a", Status: task.Failed, Error: task.NewError(task.Timeout, "x")})
	other := s.WriteEvent(task.Event{TaskID: "b", Status: task.Succeeded})
	again := s.WriteEvent(task.Event{TaskID: "a", Status: task.Succeeded}, nats.MsgIdHdr, "a/7/1")
	s.Write(&nats.Msg{Subject: "tasks.result", Header: nats.Header{"ce-subject": {"c"}}, Data: []byte("no event")})
	if ev, err := s.EventAt(t.Context(), "a", first); err != nil || ev.Status != task.Failed {
		t.Errorf("got %+v, %v, want the first event", ev, err)
	}
	if ev, err := s.LastEventOf(t.Context(), "a"); err != nil || ev.Status != task.Succeeded {
		t.Errorf("got %+v, %v, want the event at %d", ev, err, again)
	}
	for name, find := range map[string]func() (*task.Event, error){
		"another task's sequence": func() (*task.Event, error) { return s.EventAt(t.Context(), "a", other) },
		"no sequence":             func() (*task.Event, error) { return s.EventAt(t.Context(), "a", 0) },
		"no event there":          func() (*task.Event, error) { return s.EventAt(t.Context(), "a", 99) },
		"no event of the task":    func() (*task.Event, error) { return s.LastEventOf(t.Context(), "d") },
		"only looks like one":     func() (*task.Event, error) { return s.LastEventOf(t.Context(), "c") },
		"no stream":               func() (*task.Event, error) { return operatortest.StartBare(t).LastEventOf(t.Context(), "a") },
	} {
		if ev, err := find(); !errors.Is(err, task.ErrNoEvent) {
			t.Errorf("%s: got %+v, %v, want %v", name, ev, err, task.ErrNoEvent)
		}
	}
}

func TestEventsAreFollowedFromAPlaceOnUntilTheContextEnds(t *testing.T) {
	s := operatortest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	messages := make(chan jetstream.Msg, 10)
	follow := func(from jetstream.OrderedConsumerConfig) bool {
		t.Helper()
		atEnd, err := s.FollowEvents(ctx, from, func(msg jetstream.Msg) { messages <- msg })
		if err != nil {
			t.Fatal(err)
		}
		return atEnd
	}
	if !follow(jetstream.OrderedConsumerConfig{}) {
		t.Error("got events, want to begin at the end of an empty stream")
	}
	s.WriteEvent(task.Event{TaskID: "a", Status: task.Succeeded})
	if got := (<-messages).Headers().Get("ce-subject"); got != "a" {
		t.Errorf("got the event of %s, want that of a", got)
	}
	if follow(jetstream.OrderedConsumerConfig{}) {
		t.Error("got the end, want to begin before the stored event")
	}
	if got := (<-messages).Headers().Get("ce-subject"); got != "a" {
		t.Errorf("again: got the event of %s, want that of a", got)
	}
	stop()
	if _, err := s.FollowEvents(ctx, jetstream.OrderedConsumerConfig{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// A stream that was recreated begins with the sequence 1 again.
func TestFollowedEventsOfARecreatedStreamArrive(t *testing.T) {
	s := operatortest.Start(t)
	for _, id := range []string{"a", "b", "c"} {
		s.WriteEvent(task.Event{TaskID: id, Status: task.Succeeded})
	}
	ids := make(chan string, 10)
	atEnd, err := s.FollowEvents(t.Context(), jetstream.OrderedConsumerConfig{}, func(msg jetstream.Msg) {
		ev, _ := operator.ReadEvent(msg.Headers(), msg.Data())
		ids <- ev.TaskID
	})
	if err != nil || atEnd {
		t.Fatalf("got %v, %t, want events to come", err, atEnd)
	}
	if got := <-ids + <-ids + <-ids; got != "abc" {
		t.Errorf("got %s, want abc", got)
	}
	s.Recreate("TASK_RESULTS")
	s.WriteEvent(task.Event{TaskID: "d", Status: task.Succeeded})
	select {
	case got := <-ids:
		if got != "d" {
			t.Errorf("got %s, want d", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("got no event of the new stream")
	}
}

// silent is a consumer whose answer was lost with its connection.
type silent struct{ jetstream.Consumer }

func (silent) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Nothing may wait for a lost answer for ever: the ordered consumer of nats.go sets no time limit for this call.
func TestALookForTheEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if operator.IsAtEnd(t.Context(), silent{}) || time.Since(began) > 5*time.Second {
			t.Errorf("got an answer after %v, want none within 5 s", time.Since(began))
		}
	})
}
