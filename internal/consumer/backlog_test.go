package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
)

// backlog runs a backlog until it reports this many requests, and returns the age that it reports, in seconds.
func (h *harness) backlog(want float64) (oldest float64) {
	h.t.Helper()
	return h.backlogBy(nil, want)
}

// backlogBy is backlog with this clock of the server.
func (h *harness) backlogBy(clock *servertime.Clock, want float64) (oldest float64) {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), "TASKS")
	if err != nil {
		h.t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	backlog := consumer.NewBacklog(stream, h.source, "tasks.request", clock, reg)
	ctx, cancel := context.WithCancel(h.t.Context())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		backlog.Run(ctx)
	}()
	defer func() { cancel(); <-returned }()
	natstest.Eventually(h.t, func() error {
		if got := metric(h.t, reg, "capstan_requests_waiting", ""); got != want {
			return fmt.Errorf("got %v requests waiting, want %v", got, want)
		}
		return nil
	})
	return metric(h.t, reg, "capstan_oldest_waiting_seconds", "")
}

func TestTheBacklogIsTheRequestsThatNoWorkerHasTaken(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 3)
	if oldest := h.backlog(3); oldest <= 0 {
		t.Errorf("got an age of %v, want more than 0", oldest)
	}
	batch, err := h.source.Fetch(3, jetstream.FetchMaxWait(shortLease))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // all are taken, and none is acknowledged
	}
	if oldest := h.backlog(0); oldest != 0 {
		t.Errorf("got an age of %v with an empty backlog, want 0", oldest)
	}
	h.publish("late")
	if oldest := h.backlog(1); oldest <= 0 || oldest > 30 {
		t.Errorf("got an age of %v, want that of the request just published", oldest)
	}
}

// A request's age is told by the server's clock, as the time is at which it was stored.
func TestTheAgeOfTheBacklogIsByTheServersClock(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	now, clock := time.Now(), &servertime.Clock{}
	clock.Observe(now.Add(time.Hour), now, now)
	if oldest := h.backlogBy(clock, 1); oldest < 3600 {
		t.Errorf("got an age of %v s, want more than the hour by which the clocks differ", oldest)
	}
}
