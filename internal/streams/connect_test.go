package streams_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/streams"
)

// If the client buffered what is published, both the buffered copy and its retry would be sent.
func TestPublishingWhileDisconnectedFailsAtOnce(t *testing.T) {
	t.Parallel()
	nowhere := streams.NATSConfig{URL: "nats://127.0.0.1:1"}
	nc, err := streams.Connect(nowhere, "w1", func(error) bool { return false }, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	err = nc.Publish("tasks.result", []byte("{}"))
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("got %v, want an error at once", err)
	}
	if !streams.IsUnanswered(err) { // a check of the streams may meet it right after the connection is lost
		t.Errorf("%v counts as an answer about the streams", err)
	}
}

func TestAToolNamesTheServersThatItCannotReach(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = streams.ConnectTool(streams.NATSConfig{URL: "nats://user:hunter2@" + addr})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"no NATS at nats://" + addr, "NATS_URL", "capstan demo"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to contain %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %q, want it without the password", err)
	}
}

func TestAToolConnects(t *testing.T) {
	server := natstest.Start(t)
	nc, err := streams.ConnectTool(streams.NATSConfig{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got, want := nc.Status(), nats.CONNECTED; got != want {
		t.Errorf("status: got %v, want %v", got, want)
	}
}

// Without a handler the NATS client prints errors on the user's terminal.
func TestAToolPrintsNoErrorsOfTheConnection(t *testing.T) {
	opts := nats.GetDefaultOptions()
	for _, set := range streams.ToolOptions() {
		if err := set(&opts); err != nil {
			t.Fatal(err)
		}
	}
	if opts.AsyncErrorCB == nil {
		t.Error("got no handler of errors, want one")
	}
}
