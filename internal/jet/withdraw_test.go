package jet_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// A stalled link blocks the goroutine that writes. A sender that gives up may publish its message again, so the
// first copy must not go out as well.
func TestAMessageIsNotSentAfterItsSenderHasGivenUp(t *testing.T) {
	t.Parallel()
	const senders = 10
	var stalled sync.Mutex
	server := natstest.Start(t)
	nc, js := server.Connect(nats.SetCustomDialer(blockedBy(&stalled)))
	newStream(t, js)
	b := natstest.Batcher(t, nc)
	other, _ := server.Connect()
	sub, err := other.SubscribeSync("in.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}

	stalled.Lock()
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() { _, _ = b.Publish(t.Context(), &nats.Msg{Subject: fmt.Sprintf("in.patient.%d", i)}) })
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	gaveUp := make(chan string, senders)
	for i := range senders {
		all.Go(func() {
			subject := fmt.Sprintf("in.impatient.%d", i)
			if _, err := b.Publish(canceled, &nats.Msg{Subject: subject}); err != nil {
				gaveUp <- subject
			}
		})
	}
	early := map[string]bool{} // the few that are writing cannot give up
	for range senders / 2 {
		early[<-gaveUp] = true
	}
	stalled.Unlock()
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
	if late > 1 { // one was being written, and so precedes whatever its sender sends next
		t.Errorf("got %d messages whose senders had given up, want 1 at most", late)
	}
}
