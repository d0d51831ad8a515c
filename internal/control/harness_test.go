package control_test

import (
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) {
	natstest.SideBySide(8)
	goleak.VerifyTestMain(m)
}

var names = control.Config{Bucket: "task_control"}

// bound returns the view of a worker that does not create the bucket.
func bound(js jetstream.JetStream) *control.Bucket { return logging(js, io.Discard) }

// logging is bound with a log.
func logging(js jetstream.JetStream, log io.Writer) *control.Bucket {
	return control.New(names, control.Access{JetStream: func() jetstream.JetStream { return js }, TTL: time.Hour}, zerolog.New(log))
}

// worker returns the view of a worker that creates the bucket, with values that expire after ttl.
func worker(js jetstream.JetStream, ttl time.Duration) *control.Bucket {
	return control.New(names, control.Access{JetStream: func() jetstream.JetStream { return js }, Create: true, Replicas: 1, TTL: ttl}, zerolog.Nop())
}

// open returns two workers' views of one bucket, and a user's.
func open(t *testing.T, ttl time.Duration) (a, b *control.Bucket, kv jetstream.KeyValue) {
	t.Helper()
	server := natstest.Start(t)
	_, js := server.Connect()
	_, other := server.Connect()
	a, b = worker(js, ttl), worker(other, ttl)
	if _, _, err := a.Get(t.Context(), "any"); err != nil { // creates it
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), names.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return a, b, kv
}

func mustPut(t *testing.T, b *control.Bucket, key, value string, revision uint64) {
	t.Helper()
	if err := b.Put(t.Context(), key, []byte(value), revision); err != nil {
		t.Fatal(err)
	}
}

// config returns the configuration of the stream behind the bucket.
func config(t *testing.T, js jetstream.JetStream) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), names.Stream())
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

// asked counts the messages that a connection sees on these subjects, which belong to JetStream.
func asked(t *testing.T, nc *nats.Conn, subjects ...string) (count func() int) {
	t.Helper()
	seen := make(chan *nats.Msg, 1000)
	for _, subject := range subjects {
		if _, err := nc.ChanSubscribe(subject, seen); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() int {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		return len(seen)
	}
}
