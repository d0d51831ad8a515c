package jet_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestEachPublisherGetsTheAnswerToItsOwnMessage(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	const senders, each = 100, 50
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for n := range each {
				text := fmt.Sprintf("%d-%d", i, n)
				ack, err := h.Publish(t.Context(), &nats.Msg{Subject: "in." + text, Data: []byte(text)})
				if err != nil {
					t.Error(err)
					return
				}
				msg, err := h.stream.GetMsg(t.Context(), ack.Sequence)
				if err != nil || string(msg.Data) != text || ack.Duplicate {
					t.Errorf("got %+v, %v for message %s, which is not stored there", ack, err, text)
				}
			}
		})
	}
	all.Wait()
	if got := h.stored(); got != senders*each {
		t.Errorf("got %d messages stored, want %d", got, senders*each)
	}
}

func TestADuplicateIsReportedWithTheSequenceOfTheFirst(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	msg := &nats.Msg{Subject: "in.a", Header: nats.Header{nats.MsgIdHdr: {"once"}}}
	first, err := h.Publish(t.Context(), msg)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Publish(t.Context(), msg)
	if want := (jet.PubAck{Sequence: first.Sequence, Duplicate: true}); err != nil || second != want || first.Duplicate {
		t.Errorf("got %+v and then %+v, %v, want %+v", first, second, err, want)
	}
}

func TestAMessageThatIsNotStoredIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	for name, c := range map[string]struct {
		msg  *nats.Msg
		want error
	}{
		"larger than max_payload": {&nats.Msg{Subject: "in.a", Data: make([]byte, 5000)}, nats.ErrMaxPayload},
		"for no stream":           {&nats.Msg{Subject: "out"}, jetstream.ErrNoStreamResponse},
		"over another revision": {
			&nats.Msg{Subject: "in.b", Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"7"}}},
			&jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ack, err := h.Publish(t.Context(), c.msg)
			if !errors.Is(err, c.want) || ack != (jet.PubAck{}) {
				t.Errorf("got %+v, %v, want %v", ack, err, c.want)
			}
		})
	}
}

func TestAnAnswerThatIsNoPubAckIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	for _, data := range []string{"", "{", "{}", `{"stream":"IN"}`, `{"seq":7}`, `{"stream":"IN","seq":-7}`} {
		sub, err := h.nc.Subscribe("odd", func(msg *nats.Msg) { _ = msg.Respond([]byte(data)) })
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := h.Publish(t.Context(), &nats.Msg{Subject: "odd"}); !errors.Is(err, jetstream.ErrInvalidJSAck) {
			t.Errorf("%q: got %+v, %v, want %v", data, ack, err, jetstream.ErrInvalidJSAck)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// At a leaf node a stream of the leaf may store a message before the hub's does, and both answer.
func TestOnlyTheStreamOfTheDomainConfirmsAMessage(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	answers := map[string][]string{
		"both": {`{"stream":"IN","domain":"leaf","seq":7}`, `{"stream":"IN","domain":"hub","seq":8}`},
		"leaf": {`{"stream":"IN","domain":"leaf","seq":7}`},
		"none": {`{"stream":"IN","seq":7}`},
	}
	for subject, all := range answers {
		if _, err := h.nc.Subscribe(subject, func(msg *nats.Msg) {
			for _, data := range all {
				_ = msg.Respond([]byte(data))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(subject string, timeout time.Duration) (jet.PubAck, error) {
		b, err := jet.NewBatcher(h.nc, "hub", timeout)
		if err != nil {
			t.Fatal(err)
		}
		return b.Publish(t.Context(), &nats.Msg{Subject: subject})
	}
	if ack, err := publish("both", patience); err != nil || ack.Sequence != 8 {
		t.Errorf("got %+v, %v, want the answer of the hub", ack, err)
	}
	for subject, domain := range map[string]string{"leaf": "leaf", "none": ""} {
		want := fmt.Sprintf("stored by stream IN of the JetStream domain %q", domain)
		if ack, err := publish(subject, 200*time.Millisecond); !errors.Is(err, nats.ErrTimeout) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %+v, %v, want a time-out that says %q", ack, err, want)
		}
	}
}

// An answer that does not come in time may come later.
func TestALateAnswerIsNotTakenForAnotherMessages(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 50*time.Millisecond)
	slow, err := h.nc.Subscribe("slow", func(msg *nats.Msg) {
		time.AfterFunc(200*time.Millisecond, func() { _ = msg.Respond([]byte(`{"stream":"SLOW","seq":99}`)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Publish(t.Context(), &nats.Msg{Subject: "slow"}); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("got %v, want %v", err, nats.ErrTimeout)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Publish(canceled, &nats.Msg{Subject: "slow"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	natstest.Eventually(t, func() error {
		ack, err := h.Publish(t.Context(), &nats.Msg{Subject: "in.a"})
		if ack.Sequence == 99 {
			t.Fatal("got the answer to another message")
		}
		if delivered, _ := slow.Delivered(); delivered < 2 {
			return errors.New("the late answers have not come")
		}
		return err
	})
}

func TestAFlushSendsEverythingThatWasQueued(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	const senders = 200
	var all sync.WaitGroup
	for range senders {
		all.Go(func() { h.Send("in.a", []byte("+ACK")) })
	}
	all.Wait()
	if err := h.Flush(patience); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		if got := h.stored(); got != senders {
			return fmt.Errorf("got %d messages, want %d", got, senders)
		}
		return nil
	})
}

func TestPublishingOnAClosedConnectionIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	h.nc.Close()
	if _, err := h.Publish(t.Context(), &nats.Msg{Subject: "in.a"}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v, want %v", err, nats.ErrConnectionClosed)
	}
}

func TestMessagesOfManyGoroutinesLeaveWithFewWrites(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // with more, the size of the batches would depend on the machine
	var writes atomic.Int64
	server := natstest.Start(t)
	nc, js := server.Connect(nats.SetCustomDialer(counting(&writes)))
	newStream(t, js)
	b, before := natstest.Batcher(t, nc), writes.Load()
	const senders = 100
	begin := make(chan struct{})
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			<-begin
			if _, err := b.Publish(t.Context(), &nats.Msg{Subject: "in.a"}); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	all.Wait()
	if got := writes.Load() - before; got > senders/4 {
		t.Errorf("got %d writes for %d messages, want few", got, senders)
	}
}
