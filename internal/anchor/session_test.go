package anchor_test

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func sessionError(t *testing.T, err error) *task.SessionError {
	t.Helper()
	e, ok := errors.AsType[*task.SessionError](err)
	if !ok {
		t.Fatalf("got error %v, want a *task.SessionError", err)
	}
	return e
}

// answering serves one answer to every call, and returns the calls so far.
func answering(t *testing.T, status int, body string) (url string, calls chan string) {
	t.Helper()
	calls = make(chan string, 100)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls <- r.Method + " " + r.URL.String()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}).URL, calls
}

func TestASessionIsReadAndEnded(t *testing.T) {
	t.Parallel()
	api, client := startSessions(t, anchortest.SessionPlan{})
	id := create(t, client)
	workflow, err := client.Submit(t.Context(), id, []byte(body))
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	if got := api.Sessions()[0].Workflows; len(got) != 1 || got[0] != workflow {
		t.Errorf("got the workflows %v in the session, want %s", got, workflow)
	}
	for range 2 { // the second call changes nothing
		if err := client.EndSession(t.Context(), id); err != nil {
			t.Errorf("end: %v", err)
		}
	}
	session, err := client.Session(t.Context(), id)
	if err != nil || !session.Ended() || session.ID != id || session.Steps == nil || *session.Steps != 1 || session.Credits == nil ||
		*session.Credits < 0.02 || !reflect.DeepEqual(session.Tags, oneTag.Tags) || time.Since(session.Created) > time.Hour {
		t.Errorf("got %+v and error %v, want an ended session with a step", session, err)
	}
}

func TestFiguresOfASessionAreReadAsTheyCome(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]task.Session{
		`{"status":"running"}`: {ID: "s", Status: "running"},
		`{"session_id":"s","status":"x","steps":0,"credits_used":0}`:                       {ID: "s", Status: "x", Steps: new(0), Credits: new(0.0)},
		`{"status":"x","steps":null,"credits_used":"N/A","tags":null,"created_at":null}`:   {ID: "s", Status: "x"},
		`{"status":"x","steps":"7","credits_used":" 0.25 ","tags":{"a":"b"}}`:              {ID: "s", Status: "x", Steps: new(7), Credits: new(0.25)},
		`{"status":"x","steps":0.5,"credits_used":1e-3,"tags":["a",1,{"b":[]},"c"]}`:       {ID: "s", Status: "x", Steps: new(1), Credits: new(0.001), Tags: []string{"a", "c"}},
		`{"status":"x","steps":-1,"credits_used":1e999,"created_at":"yesterday"}`:          {ID: "s", Status: "x"},
		`{"status":"x","steps":1e300,"credits_used":{},"created_at":7,"configuration":[]}`: {ID: "s", Status: "x", Steps: new(1_000_000_000)},
		`{"status":"x","created_at":"2026-03-09T12:34:56.789Z"}`:                           {ID: "s", Status: "x", Created: time.Date(2026, 3, 9, 12, 34, 56, 789e6, time.UTC)},
	} {
		url, calls := answering(t, 200, `{"data":`+data+`}`)
		got, err := newClient(t, config(url)).Session(t.Context(), "s")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v and error %v, want %+v", data, got, err, want)
		}
		if call := <-calls; call != "GET /v1/sessions/s" {
			t.Errorf("got %s, want GET /v1/sessions/s", call)
		}
	}
}

// After each fault the client says what is known of the end, and the stand-in whether the session is open.
func TestAnEndSaysWhetherItIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   anchortest.Fault
		want    task.SessionError
		noError bool
		ended   bool
	}{
		"no fault":              {fault: anchortest.Fault{}, noError: true, ended: true},
		"204":                   {fault: anchortest.Fault{Status: 204, Body: " ", Accepted: true}, noError: true, ended: true},
		"another word":          {fault: anchortest.Fault{Body: `{"data":{"status":"ending"}}`, Accepted: true}, noError: true, ended: true},
		"data of another type":  {fault: anchortest.Fault{Body: `{"data":true}`, Accepted: true}, noError: true, ended: true},
		"401":                   {fault: anchortest.Answer(401), want: task.SessionError{HTTPStatus: 401, Reason: task.Unauthorized, OwnForm: true}},
		"403":                   {fault: anchortest.Answer(403), want: task.SessionError{HTTPStatus: 403, Reason: task.Forbidden, OwnForm: true}},
		"404":                   {fault: anchortest.Answer(404), want: task.SessionError{HTTPStatus: 404, OwnForm: true}},
		"404 of a gateway":      {fault: anchortest.HTML(404), want: task.SessionError{HTTPStatus: 404, Reason: task.NotTheAPI}},
		"429":                   {fault: anchortest.RateLimited(5), want: task.SessionError{HTTPStatus: 429, Reason: task.RateLimited, RetryAfter: 5 * time.Second, OwnForm: true}},
		"503 with Retry-After":  {fault: anchortest.Unavailable(7), want: task.SessionError{HTTPStatus: 503, Reason: task.Unavailable, RetryAfter: 7 * time.Second, OwnForm: true}},
		"redirect":              {fault: anchortest.Redirect("http://example.invalid/"), want: task.SessionError{HTTPStatus: 307, OwnForm: true}},
		"500":                   {fault: anchortest.Answer(500), want: task.SessionError{HTTPStatus: 500, OwnForm: true, Unknown: true}},
		"500, ended":            {fault: anchortest.Answer(500).ButAccepted(), want: task.SessionError{HTTPStatus: 500, OwnForm: true, Unknown: true}, ended: true},
		"502 page":              {fault: anchortest.HTML(502), want: task.SessionError{HTTPStatus: 502, Unknown: true}},
		"lost request":          {fault: anchortest.Reset(), want: task.SessionError{Unknown: true}},
		"lost answer":           {fault: anchortest.Reset().ButAccepted(), want: task.SessionError{Unknown: true}, ended: true},
		"cut answer":            {fault: anchortest.Fault{Cut: true}, want: task.SessionError{HTTPStatus: 200, Unknown: true}, ended: true},
		"garbage":               {fault: anchortest.Garbage(), want: task.SessionError{HTTPStatus: 200, Unknown: true}},
		"a portal's page":       {fault: anchortest.HTML(200), want: task.SessionError{HTTPStatus: 200, Unknown: true}},
		"success without data":  {fault: anchortest.Fault{Body: `{}`}, want: task.SessionError{HTTPStatus: 200, Unknown: true}},
		"success that is none":  {fault: anchortest.Fault{Body: `{"data":{"status":"Failed"}}`}, want: task.SessionError{HTTPStatus: 200, Unknown: true}},
		"more than may be read": {fault: anchortest.Large(2 << 20), want: task.SessionError{HTTPStatus: 200, Unknown: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, client := startSessions(t, anchortest.SessionPlan{End: []anchortest.Fault{c.fault}})
			id := create(t, client)
			err := client.EndSession(t.Context(), id)
			if ended := !api.Sessions()[0].Ended.IsZero(); ended != c.ended {
				t.Errorf("got ended %v, want %v", ended, c.ended)
			}
			if c.noError {
				if err != nil {
					t.Errorf("got error %v, want none", err)
				}
				return
			}
			got := *sessionError(t, err)
			if got.Message == "" {
				t.Error("got no message")
			}
			if got.Message = ""; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if err := client.EndSession(t.Context(), id); err != nil { // it may be repeated
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestAReportOfASessionSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   task.SessionError
	}{
		"404":             {404, `{"error":{"code":404,"message":"Session not found"}}`, task.SessionError{HTTPStatus: 404, OwnForm: true, Message: "Session not found"}},
		"404 of a router": {404, `{"message":"Cannot GET /v1/sessions/s"}`, task.SessionError{HTTPStatus: 404, Reason: task.NotTheAPI, Message: "Cannot GET /v1/sessions/s"}},
		"500":             {500, `{"error":{"message":"Failed to fetch session."}}`, task.SessionError{HTTPStatus: 500, OwnForm: true, Message: "Failed to fetch session."}},
		"no status":       {200, `{"data":{"steps":0}}`, task.SessionError{HTTPStatus: 200, Message: "read answer: the answer has no status"}},
		"another session": {200, `{"data":{"session_id":"t","status":"completed","steps":0}}`, task.SessionError{HTTPStatus: 200, Message: "read answer: the answer is about another session"}},
	} {
		url, _ := answering(t, c.status, c.body)
		_, err := newClient(t, config(url)).Session(t.Context(), "s")
		if got := *sessionError(t, err); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// The id of DELETE stands in a path in which "all" means every session of the account.
func TestNoCallIsMadeForAnIDThatNamesSomethingElse(t *testing.T) {
	t.Parallel()
	url, calls := answering(t, 200, `{"data":{"status":"success"}}`)
	client := newClient(t, config(url))
	for _, id := range []string{"", "all", "ALL", ".", "..", "all/status", "a/../all", "all?x", "all#", "a%2fb", "a b", "ü", "a\x00", strings.Repeat("a", 257)} {
		e := sessionError(t, client.EndSession(t.Context(), id))
		if e.Unknown || !strings.HasPrefix(e.Message, "the session id ") {
			t.Errorf("%.20q: got %+v, want an id that cannot be", id, e)
		}
		if _, err := client.Session(t.Context(), id); sessionError(t, err).HTTPStatus != 0 {
			t.Errorf("%.20q: got %v, want no call", id, err)
		}
	}
	if len(calls) > 0 {
		t.Errorf("got the call %s, want none", <-calls)
	}
	for _, id := range []string{"all", "a/b", "\u202e"} { // nor is it taken from the API
		url, _ := answering(t, 200, `{"data":{"id":"`+id+`"}}`)
		_, err := newClient(t, config(url)).CreateSession(t.Context(), oneTag)
		if e := submitError(t, err); e.Kind != task.Unknown {
			t.Errorf("%q: got %+v, want an unknown outcome", id, e)
		}
	}
}
