package consumer_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// gauge returns the value of the only series of a gauge.
func gauge(reg *prometheus.Registry, name string) float64 {
	families, err := reg.Gather()
	if err != nil {
		return math.NaN()
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	return math.NaN()
}

// backlog runs a backlog until it has measured, and returns what.
func (h *harness) backlog(want float64) (oldest float64) {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), "TASKS")
	if err != nil {
		h.t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		consumer.NewBacklog(stream, h.source, "tasks.request", reg).Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	natstest.Eventually(h.t, func() error {
		if got := gauge(reg, "capstan_waiting_requests"); got != want {
			return fmt.Errorf("got %v waiting requests, want %v", got, want)
		}
		return nil
	})
	return gauge(reg, "capstan_oldest_waiting_seconds")
}

func TestTheBacklogIsWhatNobodyHasTaken(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 3)
	if oldest := h.backlog(3); oldest <= 0 {
		t.Errorf("got an age of %v, want one", oldest)
	}
	batch, err := h.source.Fetch(3, jetstream.FetchMaxWait(ackWait))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // all are taken, and none is acknowledged
	}
	if oldest := h.backlog(0); oldest != 0 {
		t.Errorf("got an age of %v of none, want 0", oldest)
	}
	h.publish("late")
	if oldest := h.backlog(1); oldest <= 0 || oldest > 30 {
		t.Errorf("got an age of %v, want that of the one just published", oldest)
	}
}
