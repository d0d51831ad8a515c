package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// page returns the page at an address, and its status.
func page(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// address is where a dashboard says that it is.
var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

func TestTheDashboardServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	_, env := queue(t)
	run := newTool(t, env, "dashboard", "--addr=127.0.0.1:0")
	run.begin(t)
	run.out.await(t, "the dashboard is at http://")
	url := address.FindString(run.out.String())
	if status, body := page(t, url+"/"); status != http.StatusOK || !strings.Contains(body, "Overview") {
		t.Errorf("got %d, %s, want the overview", status, body)
	}
	stop(t, run)
	if !strings.Contains(run.err.String(), "dashboard listening") {
		t.Errorf("got the log %s, want that it listens", &run.err)
	}
}

func TestTheDashboardAsksForATokenIfOneIsSet(t *testing.T) {
	t.Parallel()
	_, env := queue(t)
	run := newTool(t, append(env, "DASHBOARD_TOKEN=0123456789abcdef", "DASHBOARD_ADDR=127.0.0.1:0"), "dashboard")
	run.begin(t)
	run.out.await(t, "the dashboard is at http://")
	if _, body := page(t, address.FindString(run.out.String())+"/tasks"); !strings.Contains(body, `name="token"`) {
		t.Errorf("got %s, want the login", body)
	}
	stop(t, run)
}

func TestTheDashboardDoesNotStartWithSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"DASHBOARD_ADDR=:8090":  "DASHBOARD_TOKEN must be set",
		"DASHBOARD_ADDR=8090":   "DASHBOARD_ADDR must be host:port",
		"DASHBOARD_TOKEN=short": "DASHBOARD_TOKEN must be at least 16 characters",
	} {
		run := newTool(t, []string{"NATS_URL=nats://127.0.0.1:1", setting}, "dashboard")
		if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), want) {
			t.Errorf("%s: got %d, %s, want %d and %q", setting, got, &run.err, exitUsage, want)
		}
	}
	run := newTool(t, []string{"NATS_URL=nats://127.0.0.1:1"}, "dashboard", "--addr=127.0.0.1:0")
	if got := run.status(t); got != exitNATS || !strings.Contains(run.err.String(), "no NATS at") {
		t.Errorf("without NATS: got %d, %s, want %d", got, &run.err, exitNATS)
	}
}
