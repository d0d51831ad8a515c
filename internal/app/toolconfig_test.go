package app_test

import (
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestToolNeedsNeitherKeyNorLegalWorkerSettings(t *testing.T) {
	t.Setenv("ANCHORBROWSER_API_KEY", "")
	t.Setenv("MAX_IN_FLIGHT", "many")
	t.Setenv("NATS_URL", "nats://broker.example:4333")
	t.Setenv("RESULT_STREAM", "ANSWERS")

	cfg, err := app.LoadToolConfig()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.NATS.URL, "nats://broker.example:4333"; got != want {
		t.Errorf("NATS URL: got %q, want %q", got, want)
	}
	if got, want := cfg.Result.Stream, "ANSWERS"; got != want {
		t.Errorf("results stream: got %q, want %q", got, want)
	}
	if got, want := cfg.Request.Subject, "tasks.request"; got != want {
		t.Errorf("request subject: got %q, want %q", got, want)
	}
}

func TestToolIsToldOfEveryMistakeInItsSettings(t *testing.T) {
	t.Setenv("NATS_URL", "http://user:hunter2@broker")
	t.Setenv("REQUEST_SUBJECT", "tasks.>")

	_, err := app.LoadToolConfig()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"NATS_URL", "REQUEST_SUBJECT"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %q, want it without the password", err)
	}
}

func TestToolSaysWhereItFoundNoNATS(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = app.ConnectTool(app.NATSConfig{URL: "nats://user:hunter2@" + addr})
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

func TestToolConnects(t *testing.T) {
	server := natstest.Start(t)
	nc, err := app.ConnectTool(app.NATSConfig{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got, want := nc.Status(), nats.CONNECTED; got != want {
		t.Errorf("status: got %v, want %v", got, want)
	}
}
