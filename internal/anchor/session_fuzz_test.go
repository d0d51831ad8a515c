package anchor_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func FuzzSessionAnswer(f *testing.F) {
	script, client := newScript(f)
	f.Add(200, []byte(`{"data":{"id":"s","cdp_url":"wss://x/","live_view_url":"https://x/"}}`))
	f.Add(200, []byte(`{"data":{"session_id":"s","status":"running","steps":1.5,"credits_used":"0.1","tags":["a",{}],"created_at":"2026-01-02T15:04:05Z"}}`))
	f.Add(200, []byte(`{"data":{"count":1,"items":[{"session_id":"s","status":"x","tags":["a"]}]}}`))
	f.Add(200, []byte("\ufeff"+`{"data":{"status":"success"}} behind`))
	f.Add(404, []byte(`{"error":{"code":404,"message":"see https://x/?a=b"}}`))
	f.Add(500, []byte(`{"live_view_url":"\ud800`))
	f.Add(204, []byte(nil))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + int(uint(status)%400) // 200 to 599
		script.set(status, nil, body)
		created, createErr := client.CreateSession(t.Context(), task.SessionRequest{Tags: []string{"a"}})
		checkCreated(t, status, created, createErr)
		read, readErr := client.Session(t.Context(), "s")
		found, findErr := client.FindSessions(t.Context(), "a")
		endErr := client.EndSession(t.Context(), "s")
		for _, err := range []error{readErr, findErr, endErr} {
			if err != nil {
				checkText(t, sessionError(t, err).Message)
			} else if status > 299 {
				t.Errorf("got no error of a %d", status)
			}
		}
		if endErr != nil && (status < 300 || status > 499) && !sessionError(t, endErr).Unknown {
			t.Errorf("got %v of a %d, want an end that is not known", endErr, status)
		}
		if readErr == nil {
			found = append(found, read)
		}
		for _, s := range found {
			checkText(t, s.Status)
			if s.ID == "" || s.Status == "" || s.Steps != nil && *s.Steps < 0 || s.Credits != nil && *s.Credits < 0 {
				t.Errorf("got %+v, want a session with figures that can be", s)
			}
		}
	})
}

// checkCreated checks that a creation is never known to have failed where it may have succeeded.
func checkCreated(t *testing.T, status int, created task.NewSession, err error) {
	t.Helper()
	if err == nil {
		if created.ID == "" || status > 299 {
			t.Errorf("got %v of a %d without an error", created, status)
		}
		return
	}
	e := submitError(t, err)
	checkText(t, e.Message)
	if created.ID != "" || (status < 300 || status > 499) && e.Kind != task.Unknown {
		t.Errorf("got %v and %+v of a %d, want an unknown outcome", created, e, status)
	}
}
