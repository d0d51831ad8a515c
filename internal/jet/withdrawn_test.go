package jet_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// A link that takes nothing blocks all senders. A sender that has given up may send its message again: the first
// copy must not go out as well.
func TestAMessageIsNotSentAfterItsSenderHasGivenUp(t *testing.T) {
	t.Parallel()
	const senders = 10
	dialer := &blocking{}
	server := natstest.Start(t)
	nc, js := server.Connect(nats.SetCustomDialer(dialer))
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.>"}})
	o := natstest.Batcher(t, nc)
	other, _ := server.Connect()
	sub, err := other.SubscribeSync("in.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}

	dialer.mu.Lock() // the link takes nothing
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() { _, _ = o.Publish(t.Context(), &nats.Msg{Subject: fmt.Sprintf("in.patient.%d", i)}) })
	}
	gone, giveUp := context.WithCancel(t.Context())
	giveUp()
	gaveUp := make(chan string, senders)
	for i := range senders {
		all.Go(func() {
			subject := fmt.Sprintf("in.impatient.%d", i)
			if _, err := o.Publish(gone, &nats.Msg{Subject: subject}); err != nil {
				gaveUp <- subject
			}
		})
	}
	early := map[string]bool{} // two or three hand in what all have brought, and cannot give up
	for range senders / 2 {
		early[<-gaveUp] = true
	}
	dialer.mu.Unlock()
	all.Wait()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	late := 0
	for n, _, _ := sub.Pending(); n > 0; n, _, _ = sub.Pending() {
		msg, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if early[msg.Subject] {
			late++
		}
	}
	if late > 1 { // one was being handed to the connection, before whatever its sender sends next
		t.Errorf("got %d messages whose senders had given up, want 1 at most", late)
	}
}

// blocking dials connections that can be written to unless the test holds mu.
type blocking struct{ mu sync.Mutex }

func (b *blocking) Dial(network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(context.Background(), network, address)
	return blockedConn{conn, b}, err
}

type blockedConn struct {
	net.Conn
	by *blocking
}

func (c blockedConn) Write(b []byte) (int, error) {
	c.by.mu.Lock()
	defer c.by.mu.Unlock()
	return c.Conn.Write(b)
}
