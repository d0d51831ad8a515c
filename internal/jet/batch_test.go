package jet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// patience is the outboxes' own: long, for a busy machine.
const patience = time.Minute

type harness struct {
	*testing.T
	*jet.Batcher
	server *natstest.Server
	nc     *nats.Conn
	stream jetstream.Stream
}

// newHarness has a stream of the subjects below "in".
func newHarness(t *testing.T, timeout time.Duration) *harness {
	t.Helper()
	h := &harness{T: t, server: natstest.StartWith(t, natsserver.Config{MaxPayload: 4096})}
	var js jetstream.JetStream
	h.nc, js = h.server.Connect()
	h.stream = natstest.Stream(t, js, jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.>"}, Duplicates: time.Hour})
	var err error
	if h.Batcher, err = jet.NewBatcher(h.nc, timeout); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) stored() uint64 {
	h.Helper()
	info, err := h.stream.Info(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return info.State.Msgs
}

// Each goroutine gets the answer to its own message, however many send at once.
func TestEachGetsTheAnswerToItsOwnMessage(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	const senders, each = 100, 50
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for n := range each {
				text := fmt.Sprintf("%d-%d", i, n)
				receipt, err := h.Publish(t.Context(), &nats.Msg{Subject: "in." + text, Data: []byte(text)})
				if err != nil {
					t.Error(err)
					return
				}
				msg, err := h.stream.GetMsg(t.Context(), receipt.Sequence)
				if err != nil || string(msg.Data) != text || receipt.Duplicate {
					t.Errorf("got %+v, %v for message %s, which is stored elsewhere", receipt, err, text)
				}
			}
		})
	}
	all.Wait()
	if got := h.stored(); got != senders*each {
		t.Errorf("got %d messages stored, want %d", got, senders*each)
	}
}

func TestADuplicateIsToldWithTheSequenceOfTheFirst(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	msg := &nats.Msg{Subject: "in.a", Header: nats.Header{nats.MsgIdHdr: {"once"}}}
	first, err := h.Publish(t.Context(), msg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Publish(t.Context(), msg)
	if err != nil || !again.Duplicate || again.Sequence != first.Sequence || first.Duplicate {
		t.Errorf("got %+v and then %+v, %v", first, again, err)
	}
}

func TestWhatBecomesOfAMessageThatIsNotStored(t *testing.T) {
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
			receipt, err := h.Publish(t.Context(), c.msg)
			if !errors.Is(err, c.want) || receipt != (jet.PubAck{}) {
				t.Errorf("got %+v, %v, want %v", receipt, err, c.want)
			}
		})
	}
}

// An answer that does not come in time may come later: it is nobody's then, and the next message gets its own.
func TestAnAnswerThatComesTooLateIsNobodys(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 50*time.Millisecond)
	slow, err := h.nc.Subscribe("slow", func(msg *nats.Msg) {
		time.AfterFunc(200*time.Millisecond, func() { _ = msg.Respond([]byte(`{"stream":"SLOW","seq":99}`)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Publish(t.Context(), &nats.Msg{Subject: "slow"}); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("got %v, want a time-out", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Publish(gone, &nats.Msg{Subject: "slow"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	natstest.Eventually(t, func() error {
		receipt, err := h.Publish(t.Context(), &nats.Msg{Subject: "in.a"})
		if receipt.Sequence == 99 {
			t.Fatal("got the answer to another message")
		}
		if delivered, _ := slow.Delivered(); delivered < 2 {
			return errors.New("the slow ones are under way")
		}
		return err
	})
}

func TestAFlushSendsWhatWasHandedIn(t *testing.T) {
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

func TestAClosedConnectionIsTold(t *testing.T) {
	t.Parallel()
	h := newHarness(t, patience)
	h.nc.Close()
	if _, err := h.Publish(t.Context(), &nats.Msg{Subject: "in.a"}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v, want %v", err, nats.ErrConnectionClosed)
	}
}

// What makes it worth while: messages of many leave with few writes.
func TestMessagesOfManyLeaveTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // or it would depend on the machine who meets whom
	var writes atomic.Int64
	server := natstest.Start(t)
	nc, js := server.Connect(nats.SetCustomDialer(counting{&writes}))
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.>"}})
	o, before := natstest.Batcher(t, nc), writes.Load()
	const senders = 100
	begin := make(chan struct{})
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			<-begin
			if _, err := o.Publish(t.Context(), &nats.Msg{Subject: "in.a"}); err != nil {
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

// counting dials connections that count their writes.
type counting struct{ writes *atomic.Int64 }

func (c counting) Dial(network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(context.Background(), network, address)
	return countedConn{conn, c.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
