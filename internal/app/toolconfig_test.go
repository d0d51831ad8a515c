package app_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
)

func TestTheToolNeedsNeitherAKeyNorValidWorkerSettings(t *testing.T) {
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

func TestTheToolReportsEveryMistakeInItsSettings(t *testing.T) {
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
