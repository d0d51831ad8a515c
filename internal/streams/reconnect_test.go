package streams_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/streams"
)

// What is published while NATS is away fails at once: a copy that the client kept would go out beside its retry.
func TestNothingIsKeptToBePublishedLater(t *testing.T) {
	t.Parallel()
	nowhere := streams.NATSConfig{URL: "nats://127.0.0.1:1"}
	nc, err := streams.Connect(nowhere, "w1", func(error) bool { return false }, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("tasks.result", []byte("{}")); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("got %v, want an error at once", err)
	}
}
