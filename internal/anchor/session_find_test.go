package anchor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestSessionsAreFoundByAllOfTheirTags(t *testing.T) {
	t.Parallel()
	_, client := startSessions(t, anchortest.SessionPlan{}, anchortest.WithSessionRules(anchortest.SessionRules{ListEnded: true}))
	var ids []string
	for _, tags := range [][]string{{"capstan", "a&b=c +1"}, {"capstan"}, {"other"}} {
		session, err := client.CreateSession(t.Context(), task.SessionRequest{Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, session.ID)
	}
	if err := client.EndSession(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"capstan":          fmt.Sprint(ids[0], " running; ", ids[1], " completed; "),
		"capstan,a&b=c +1": fmt.Sprint(ids[0], " running; "),
		"nobody":           "",
		"":                 fmt.Sprint(ids[0], " running; ", ids[1], " completed; ", ids[2], " running; "),
	} {
		var tags []string
		if asked != "" {
			tags = strings.Split(asked, ",")
		}
		found, err := client.FindSessions(t.Context(), tags...)
		var got strings.Builder
		for _, s := range found {
			fmt.Fprint(&got, s.ID, " ", s.Status, "; ")
			if time.Since(s.Created) > time.Hour {
				t.Errorf("got %+v, want when it was created", s)
			}
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s and error %v, want %s", asked, &got, err, want)
		}
	}
}

// An API that ignores the tags, or does not show them, would have a caller end the sessions of somebody else.
func TestASessionWithoutTheTagsIsNotFound(t *testing.T) {
	t.Parallel()
	url, calls := answering(t, 200, `{"data":{"count":3,"items":[{"session_id":"1","status":"running"},
		{"session_id":"2","status":"running","tags":["b"]},{"session_id":"3","status":"running","tags":["b","a"]}]}}`)
	found, err := newClient(t, config(url)).FindSessions(t.Context(), "a")
	if err != nil || len(found) != 1 || found[0].ID != "3" {
		t.Errorf("got %+v and error %v, want the third", found, err)
	}
	if got := <-calls; got != "GET /v1/sessions/all/status?tags=a" {
		t.Errorf("got %s, want a list of the tag", got)
	}
}

func TestAListIsReadWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"data":{"count":0,"items":[]}}`:                       "",
		`{"data":{"count":0,"items":null}}`:                     "",
		`{"data":{"count":1}}`:                                  "read answer: the answer has no list of sessions",
		`{}`:                                                    "read answer: the answer has no list of sessions",
		`{"data":{"items":{}}}`:                                 "read answer: expected a list of sessions",
		`{"data":{"items":[7]}}`:                                "read answer: expected a JSON object",
		`{"data":{"items":[{"status":"running"}]}}`:             "read answer: a session in the list has no id or no status",
		`{"data":{"items":[{"session_id":"1"}]}}`:               "read answer: a session in the list has no id or no status",
		`{"data":{"items":[{"session_id":7,"status":"x"}]}}`:    "read answer: expected a string",
		`{"data":{"items":[{"session_id":"1","status":"x"},`:    "read answer: ",
		strings.Repeat(" ", 8<<20) + `{"data":{"items":[]}}`:    "the answer is too large",
		`<html><title>Sign in to the network</title></html>`:    "read answer: ",
		`{"data":{"items":[{"session_id":"1","status":null}]}}`: "read answer: a session in the list has no id or no status",
	} {
		url, _ := answering(t, 200, body)
		found, err := newClient(t, config(url)).FindSessions(t.Context())
		if want == "" {
			if err != nil || len(found) != 0 {
				t.Errorf("%s: got %v and error %v, want no session", body, found, err)
			}
			continue
		}
		if e := sessionError(t, err); found != nil || e.HTTPStatus != 200 || !strings.HasPrefix(e.Message, want) {
			t.Errorf("%.60s: got %v and %+v, want %s", body, found, e, want)
		}
	}
}

func TestFaultsOfListsAreErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault anchortest.Fault
		want  task.SessionError
	}{
		"reset": {anchortest.Reset(), task.SessionError{}},
		"cut":   {anchortest.Fault{Cut: true}, task.SessionError{HTTPStatus: 200}},
		"401":   {anchortest.Answer(401), task.SessionError{HTTPStatus: 401, Reason: task.Unauthorized, OwnForm: true}},
		"429":   {anchortest.RateLimited(2), task.SessionError{HTTPStatus: 429, Reason: task.RateLimited, RetryAfter: 2 * time.Second, OwnForm: true}},
		"500":   {anchortest.Answer(500), task.SessionError{HTTPStatus: 500, OwnForm: true}},
		"page":  {anchortest.HTML(404), task.SessionError{HTTPStatus: 404, Reason: task.NotTheAPI}},
	} {
		_, client := startSessions(t, anchortest.SessionPlan{List: []anchortest.Fault{c.fault}})
		_, err := client.FindSessions(t.Context(), "a")
		got := *sessionError(t, err)
		if got.Message = ""; got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
		if _, err := client.FindSessions(t.Context(), "a"); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
	}
}

func TestATagThatAListCannotAskForIsNoCall(t *testing.T) {
	t.Parallel()
	url, calls := answering(t, 200, `{"data":{"items":[]}}`)
	for _, tag := range []string{"", " ", "a,b"} {
		_, err := newClient(t, config(url)).FindSessions(t.Context(), "a", tag)
		if e := sessionError(t, err); !strings.Contains(e.Message, "must have no comma") {
			t.Errorf("%q: got %+v, want the rule", tag, e)
		}
	}
	if len(calls) > 0 {
		t.Errorf("got the call %s, want none", <-calls)
	}
}
