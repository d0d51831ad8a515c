package anchor_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// script is a server that gives the answer that was set last.
type script struct {
	mu     sync.Mutex
	status int
	header http.Header
	body   []byte
}

func (s *script) set(status int, header http.Header, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.header, s.body = status, header, body
}

func (s *script) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(w.Header(), s.header)
	w.WriteHeader(s.status)
	_, _ = w.Write(s.body)
}

func newScript(f *testing.F, opts ...anchor.Option) (*script, *anchor.Client) {
	f.Helper()
	s := &script{}
	server := httptest.NewServer(s)
	f.Cleanup(server.Close)
	client, err := anchor.New(config(server.URL), "", prometheus.NewRegistry(), opts...)
	if err != nil {
		f.Fatalf("new client: %v", err)
	}
	f.Cleanup(client.Close)
	return s, client
}

func checkText(t *testing.T, text string) {
	t.Helper()
	if len(text) > 2048 || !utf8.ValidString(text) {
		t.Errorf("got a message of %d bytes, want no more than 2048 of UTF-8", len(text))
	}
}

func FuzzSubmitAnswer(f *testing.F) {
	script, client := newScript(f)
	f.Add(200, []byte(`{"data":{"status":"running","workflow_id":"w"}}`))
	f.Add(200, []byte(`{"data":{"result":{}}}`))
	f.Add(400, []byte(`{"error":{"code":400,"message":"no"}}`))
	f.Add(422, []byte(`{"error":[{"error":{"error":null}}]}`))
	f.Add(503, []byte("<html>"))
	f.Add(200, []byte("\ufeff"+`{"data":{"workflow_id":"w" // cut`))
	f.Add(404, []byte(`{"error":{"code":404,"message":"Cannot POST /v1/tools/perform-web-task"}}`))
	f.Add(404, []byte(`{"message":["a"],"error":{"error":{"error":{}}}}`))
	f.Add(404, []byte(`{"error":"cut o`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + int(uint(status)%400) // 200 to 599
		script.set(status, nil, body)
		id, err := client.Submit(t.Context(), "", []byte("{}"))
		if err == nil {
			if id == "" || status > 299 {
				t.Errorf("got id %q of a %d without an error", id, status)
			}
			return
		}
		e := submitError(t, err)
		checkText(t, e.Message)
		if id != "" || e.Kind < task.Refused || e.Kind > task.Unknown {
			t.Errorf("got id %q and %+v, want no id and a kind of error", id, e)
		}
		if (status < 300 || status > 499) && e.Kind != task.Unknown {
			t.Errorf("got %+v of a %d, want an unknown outcome", e, status)
		}
	})
}

func FuzzStatusAnswer(f *testing.F) {
	script, client := newScript(f)
	f.Add(200, []byte(`{"data":{"status":"RUNNING"}}`))
	f.Add(200, []byte(`{"data":{"status":"COMPLETED","result":{"a":[null]}}}`))
	f.Add(200, []byte(`{"data":{"status":"FAILED","error":{"error":{"message":1}}}}`))
	f.Add(404, []byte(`{"message":"no"}`))
	f.Add(200, []byte(`{"data":{"status":"COMPLETED","result": [1] ,"result":null}} behind`))
	f.Add(200, []byte("\ufeff{\"data\":{\"status\":\"COMPLETED\",\"result\":{\"\xff\":\"\\ud800\"},\"note\":\"0123456789012345678901234567890123456789\"}}"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + int(uint(status)%400)
		script.set(status, nil, body)
		workflow, err := client.Status(t.Context(), "w", anchor.MaxAnswer)
		if err != nil {
			e := statusError(t, err)
			checkText(t, e.Message)
			if e.OwnForm && (status < 300 || len(body) == 0) {
				t.Errorf("got %+v of %q, want no error in the API's form", e, body)
			}
			return
		}
		checkText(t, workflow.Error)
		checkText(t, workflow.Status)
		if result := workflow.Result; len(result) > 0 && (!json.Valid(result) || !bytes.Contains(body, result)) {
			t.Errorf("got result %q of %q, want a part of it that is JSON", result, body)
		}
		if workflow.Status == "" || status > 299 {
			t.Errorf("got %+v of a %d without an error", workflow, status)
		}
	})
}

func FuzzRateLimit(f *testing.F) {
	checkStarts := func(s task.Starts) {
		if s.Remaining < 0 || s.Reset < 0 || s.Reset > time.Hour || s.Quota < 0 || s.Window > time.Hour || s.Quota > 0 && s.Remaining > s.Quota {
			f.Errorf("got %+v, want a window of an hour at most", s)
		}
	}
	script, client := newScript(f, anchor.WithStarts(checkStarts))
	f.Add("58", `"5-in-1min"; r=0; t=58`, `"5-in-1min"; q=5; w=60`)
	f.Add("", `"a\"",b;r=0;t=1, "c`, `b;q=1;w=1`)
	f.Add("1.5, -1e999,NaN", `("a" "b"); r=0; t=-9223372036854775808`, `:YQ==:; q=1; w=1`)
	f.Add("Thu, 26 Nov 2026 06:10:08 UTC", `"a";r=0;t=999999999999999`, `"a";q=999999999999999;w=999999999999999`)
	f.Add("Mon, 03 Aug 2099 10:00:00 GMT", ";=,=;", "?1")
	f.Fuzz(func(t *testing.T, retryAfter, rateLimit, policy string) {
		script.set(429, http.Header{"Retry-After": {retryAfter}, "Ratelimit": {rateLimit}, "Ratelimit-Policy": {policy}}, nil)
		_, err := client.Submit(t.Context(), "", []byte("{}"))
		e := submitError(t, err)
		if e.HTTPStatus == 429 && (e.RetryAfter < 0 || e.RetryAfter > time.Hour) {
			t.Errorf("got a wait of %v, want one from 0 to 1h", e.RetryAfter)
		}
	})
}
