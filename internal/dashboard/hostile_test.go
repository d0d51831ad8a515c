package dashboard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/task"
)

const attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202egnirts\u2066\x1b[2J\x00\u009b31m"

// quoted is the attack as a JSON string.
func quoted(t *testing.T, text string) string {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHostileTextsAreShownAsText(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	seq := s.Publish(`{"task_id":"prompt","url":"https://shop.example/","prompt":` + quoted(t, attack) + `}`)
	s.record(task.Record{TaskID: "prompt", State: task.Running, RequestSeq: seq, Host: attack, Owner: attack, Batch: attack})
	s.finish(task.Record{TaskID: "result", Host: attack}, task.Event{Result: json.RawMessage(quoted(t, attack))})
	s.finish(task.Record{TaskID: "error", Host: attack}, task.Event{Error: task.NewError(task.AgentFailed, attack)})
	s.letter("error", attack, attack, attack, "{}")
	s.record(task.Record{TaskID: "x", State: task.Failed, ErrorCode: task.Code(attack), Host: attack})
	for _, key := range []string{"pause"} {
		if _, err := s.JS.Publish(t.Context(), "$KV.task_control."+key, []byte(quoted(t, attack))); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("/tasks", "4 tasks")
	for _, path := range []string{
		"/", "/tasks", "/tasks/prompt", "/tasks/result", "/tasks/error", "/tasks/x", "/batches", "/dead-letters", "/resume",
		"/redrive?host=" + "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/tasks?batch=%3Cscript%3Ealert(1)%3C%2Fscript%3E%E2%80%AE",
	} {
		got := s.get(path)
		if got.code != http.StatusOK {
			t.Errorf("%s: got %d, %s", path, got.code, got.body)
		}
		for _, unwanted := range []string{"<script>", "<img", "\u202e", "\u2066", "\x1b", "\x00", "\u009b"} {
			if strings.Contains(got.body, unwanted) {
				t.Errorf("%s: got %q among %s", path, unwanted, got.body)
			}
		}
	}
	if got := s.get("/tasks/result").body; !strings.Contains(got, `&lt;script&gt;alert(1)&lt;/script&gt;`) || !strings.Contains(got, `\u202egnirts`) {
		t.Errorf("got %s, want the result with its tags and marks as text", got)
	}
}

func TestLongTextsAreCutWithALinkToTheWhole(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	long := strings.Repeat("ü<b>", 200_000)
	s.finish(task.Record{TaskID: "long"}, task.Event{Result: json.RawMessage(quoted(t, strings.Repeat("ü<", 100_000)))})
	s.finish(task.Record{TaskID: "talks"}, task.Event{Error: task.NewError(task.AgentFailed, long[:600_000])})
	s.eventually("/tasks", "2 tasks")
	for _, path := range []string{"/tasks/long", "/tasks/talks"} {
		got := s.get(path)
		if len(got.body) > 100_000 || !strings.Contains(got.body, "All of it") {
			t.Errorf("%s: got %d bytes, want at most 100,000 and a link", path, len(got.body))
		}
	}
	whole := s.get("/tasks/long/result")
	if whole.body != strings.Repeat("ü<", 100_000) || whole.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %d bytes of %s, want the whole as plain text", len(whole.body), whole.header.Get("Content-Type"))
	}
	if got := whole.header.Get("Content-Security-Policy"); got != "default-src 'none'; sandbox" {
		t.Errorf("got the policy %q, want one under which nothing runs", got)
	}
}

func TestSecretsOfARequestAreNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	seq := s.request("secret", `"secret_values":{"PIN":"hunter2-hunter2"}`)
	s.record(task.Record{TaskID: "secret", State: task.Running, RequestSeq: seq})
	s.eventually("/tasks/secret", "[redacted:PIN]", "Its secrets are redacted")
	for _, path := range []string{"/tasks/secret", "/tasks/secret/request"} {
		if got := s.get(path); strings.Contains(got.body, "hunter2") || got.code != http.StatusOK {
			t.Errorf("%s: got %d, %s, want it without the secret", path, got.code, got.body)
		}
	}
}

func TestInvisibleCharactersAreShownAsEscapes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\tb\nc":            "a\tb\nc",
		"a\u202eb":           `a\u202eb`,
		"a\u200fb":           `a\u200fb`,
		"\ufeffa":            `\ufeffa`,
		"a\x1b[2J":           `a\u001b[2J`,
		"a\x7f":              `a\u007f`,
		"👩\u200d🚀 می\u200cخ": "👩\u200d🚀 می\u200cخ",
		"a\xffb":             "a\ufffdb",
		"שלום":               "שלום",
	} {
		if got := dashboard.Visible(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
