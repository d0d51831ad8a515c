package anchor_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// Errors of calls about sessions quote the API. Its links give control over a browser.
func TestNoErrorHasALinkThatControlsABrowser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`cannot connect to wss://connect.example/abc?apiKey=k3y`, "cannot connect to wss://connect.example/[redacted]"},
		{`see https://live.example/inspector?id=k3y, please`, "see https://live.example/[redacted] please"},
		{`see HTTPS:\/\/user:k3y@live.example\/`, "see https://live.example/[redacted]"},
		{`see https://docs.example`, "see https://docs.example"},
		{`bad https://%zz/k3y`, "bad [redacted]"},
		{`bad https://%ff/k3y`, "bad https:///[redacted]"},
		{strings.Repeat("a://b/c ", 250), strings.Repeat("a://b/[redacted] ", 120) + "a://b/[r"},
		{`no link at 10:30/day`, "no link at 10:30/day"},
		{`the CDP_URL is k3y`, "[redacted]"},
		{`{"live_view_url":"k3y"}`, "[redacted]"},
	} {
		message, err := json.Marshal(map[string]any{"error": map[string]any{"code": 500, "message": c.text}})
		if err != nil {
			t.Fatal(err)
		}
		url, _ := answering(t, 500, string(message))
		client := newClient(t, config(url))
		_, created := client.CreateSession(t.Context(), oneTag)
		_, read := client.Session(t.Context(), "s")
		_, found := client.FindSessions(t.Context())
		ended := client.EndSession(t.Context(), "s")
		for _, got := range []string{submitError(t, created).Message, sessionError(t, read).Message, sessionError(t, found).Message, sessionError(t, ended).Message} {
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
	}
}

// A success that cannot be read is not quoted, either.
func TestNoErrorQuotesASessionThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"data":{"cdp_url":"wss://x.example/?apiKey=k3y","live_view_url":"https://x.example/k3y"}}`,
		`{"data":{"live_view_url":"https://x.example/k3y`,
		`{"data":{"live_view_url":["k3y"]}}`,
		`{"data":{"cdp_url":"k3y"},"id":"k3y"`,
	} {
		url, _ := answering(t, 200, body)
		client := newClient(t, config(url))
		session, err := client.CreateSession(t.Context(), oneTag)
		if e := submitError(t, err); e.Kind != task.Unknown || strings.Contains(e.Message, "k3y") || session.LiveView != "" {
			t.Errorf("%s: got %v and %+v, want an unknown outcome that quotes nothing", body, session, e)
		}
		if _, err := client.Session(t.Context(), "s"); strings.Contains(err.Error(), "k3y") {
			t.Errorf("%s: got %v, want nothing quoted", body, err)
		}
	}
}
