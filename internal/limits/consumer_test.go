package limits_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// What NATS does with MaxAckPending, on which the cap depends: a lower one stops new deliveries, and redeliveries pass.
func TestALowerCapStopsNewDeliveriesAndLetsRedeliveriesPass(t *testing.T) {
	server := natstest.Start(t)
	_, js := server.Connect()
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	source, err := js.CreateConsumer(t.Context(), "TASKS", jetstream.ConsumerConfig{
		Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxAckPending: 10, MaxDeliver: -1,
		Metadata: map[string]string{"team": "web"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := js.Publish(t.Context(), "tasks.request", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	c := limits.NATSConsumer{JS: js, Stream: "TASKS", Name: "worker"}
	fetch := func(n int) (messages []jetstream.Msg) {
		t.Helper()
		batch, err := source.Fetch(n, jetstream.FetchMaxWait(300*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		for msg := range batch.Messages() {
			messages = append(messages, msg)
		}
		return messages
	}
	first := fetch(10)
	if err := c.SetMost(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Pending(t.Context()); got != (limits.Pending{Held: 10, Most: 4, Delivered: 10}) || err != nil {
		t.Errorf("got %+v, %v, want 10 held, 4 at most, and 10 delivered", got, err)
	}
	for _, msg := range first[:6] {
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Eventually(t, func() error { // the other four are redelivered although the consumer is full
		again := fetch(20)
		for _, msg := range again {
			if meta, err := msg.Metadata(); err != nil || meta.NumDelivered < 2 {
				t.Fatalf("got a new delivery, %v, want redeliveries only", err)
			}
		}
		if len(again) != 4 {
			return fmt.Errorf("got %d redeliveries, want 4", len(again))
		}
		return nil
	})
	if err := c.SetMost(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		for _, msg := range fetch(20) {
			if meta, err := msg.Metadata(); err == nil && meta.NumDelivered == 1 {
				return nil
			}
		}
		return errors.New("got no new delivery after the cap was raised")
	})
	info, err := source.Info(t.Context())
	if err != nil || info.Config.Metadata["team"] != "web" || info.Config.AckWait != time.Second {
		t.Errorf("got %+v, %v, want everything else as it was", info, err)
	}
}
