package tracker_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

func put(t *testing.T, js jetstream.JetStream, rec task.Record) {
	t.Helper()
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: cfg.Subject(rec.TaskID), Data: rec.JSON()}); err != nil {
		t.Fatal(err)
	}
}

var cfg = tracker.Config{Bucket: "task_tracker", TTL: time.Hour}

// bucket is the stream behind the bucket, as workers provision it.
func bucket() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: cfg.Stream(), Subjects: []string{cfg.Subject(">")}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
	}
}

func newTracker(t *testing.T, cfg tracker.Config) (*tracker.Tracker, *natstest.Server, jetstream.JetStream) {
	t.Helper()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	return tracker.New(natstest.Batcher(t, nc), stream, "", cfg, nil, prometheus.NewRegistry(), zerolog.Nop()), server, js
}

func record(id string, state task.State) task.Record {
	return task.Record{TaskID: id, State: state, Owner: "w1", Epoch: 1, WorkflowID: "wf"}
}

// losingAnswers publishes, and then returns a timeout for the first few calls.
type losingAnswers struct {
	tracker.Batcher
	lose int
}

func (l *losingAnswers) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	ack, err := l.Batcher.Publish(ctx, m)
	l.lose--
	if l.lose >= 0 {
		return jet.PubAck{}, nats.ErrTimeout
	}
	return ack, err
}

// refusing refuses the first few writes.
type refusing struct {
	tracker.Batcher
	times int
}

func (r *refusing) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	if r.times == 0 {
		return r.Batcher.Publish(ctx, m)
	}
	r.times--
	return jet.PubAck{}, &jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}
}
