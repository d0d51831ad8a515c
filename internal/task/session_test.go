package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestOnlyKnownStatesOfASessionAreAnEnd(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"running": false, "completed": true, "COMPLETED": true, "terminated": true, "Timed_Out": true, "": false, "ending": false,
		"creating": false, "some other word": false,
	} {
		if got := (task.Session{Status: status}).Ended(); got != want {
			t.Errorf("%q: got ended %v, want %v", status, got, want)
		}
	}
}

func TestASessionIsUnknownOnlyInTheAPIsOwnWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    task.SessionError
		want bool
	}{
		{task.SessionError{HTTPStatus: 404, OwnForm: true}, true},
		{task.SessionError{HTTPStatus: 410, OwnForm: true}, true},
		{task.SessionError{HTTPStatus: 404}, false},
		{task.SessionError{HTTPStatus: 401, OwnForm: true}, false},
		{task.SessionError{HTTPStatus: 500, OwnForm: true}, false},
	} {
		if got := c.e.UnknownSession(); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.e, got, c.want)
		}
	}
	if got, want := (&task.SessionError{HTTPStatus: 404, Message: "Session not found"}).Error(), "404: Session not found"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASessionIsRequestedWithTagsAndTimes(t *testing.T) {
	t.Parallel()
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for name, c := range map[string]struct {
		request task.SessionRequest
		want    string
	}{
		"nothing": {task.SessionRequest{}, `{}`},
		"tags":    {task.SessionRequest{Tags: []string{"a", "b"}}, `{"session":{"tags":["a","b"]}}`},
		"times": {
			task.SessionRequest{MaxDuration: 61 * time.Minute, IdleTimeout: time.Second},
			`{"session":{"timeout":{"idle_timeout":1,"max_duration":61}}}`,
		},
		"a started minute is whole": {
			task.SessionRequest{MaxDuration: time.Minute + time.Nanosecond}, `{"session":{"timeout":{"max_duration":2}}}`,
		},
		"a view": {task.SessionRequest{ReadOnlyView: true}, `{"session":{"live_view":{"read_only":true}}}`},
		"what the request says stays": {
			task.SessionRequest{
				Tags: []string{"mine", "both"}, MaxDuration: time.Hour, IdleTimeout: time.Minute, ReadOnlyView: true,
				Session: raw(`{"tags":["both","theirs"],"timeout":{"max_duration":-1,"new":[1]},"live_view":{"read_only":false,"one_time_url":true},"later":12345678901234567890}`),
				Browser: raw(`{"profile":{"name":"Night"}}`),
			},
			`{"browser":{"profile":{"name":"Night"}},"session":{"later":12345678901234567890,"live_view":{"one_time_url":true,"read_only":false},` +
				`"tags":["both","theirs","mine"],"timeout":{"idle_timeout":1,"max_duration":-1,"new":[1]}}}`,
		},
		"null": {task.SessionRequest{Session: raw(`null`), Browser: raw(` null `)}, `{}`},
		"null within": {
			task.SessionRequest{Tags: []string{"a"}, MaxDuration: time.Minute, Session: raw(`{"tags":null,"timeout":null}`)},
			`{"session":{"tags":["a"],"timeout":{"max_duration":1}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.request.JSON()
			if err != nil || string(got) != c.want {
				t.Errorf("got %s and error %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestAMistakeInASessionIsNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	for _, c := range []struct{ session, browser, want string }{
		{`"` + password + `"`, "", "session must be a JSON object (got a string)"},
		{`{"tags":"` + password + `"}`, "", "session.tags must be a list of strings"},
		{`{"tags":["` + password + `",1]}`, "", "session.tags must be a list of strings"},
		{`{"timeout":["` + password + `"]}`, "", "session.timeout must be a JSON object (got an array)"},
		{`{"live_view":true}`, "", "session.live_view must be a JSON object (got a boolean)"},
		{"", `["` + password + `"]`, "browser must be a JSON object (got an array)"},
	} {
		request := task.SessionRequest{
			Tags: []string{"a"}, MaxDuration: time.Minute, ReadOnlyView: true, Session: json.RawMessage(c.session), Browser: json.RawMessage(c.browser),
		}
		_, err := request.JSON()
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), password) {
			t.Errorf("%s%s: got %v, want %q", c.session, c.browser, err, c.want)
		}
	}
}

func TestOnlyFinalFiguresShowThatNoAgentActed(t *testing.T) {
	t.Parallel()
	none := task.SessionEnd{Confirmed: true, Final: true, Steps: new(0)}
	for name, c := range map[string]struct {
		change func(*task.SessionEnd)
		want   bool
	}{
		"no step":           {func(*task.SessionEnd) {}, true},
		"one step":          {func(e *task.SessionEnd) { e.Steps = new(1) }, false},
		"steps not known":   {func(e *task.SessionEnd) { e.Steps = nil }, false},
		"figures may grow":  {func(e *task.SessionEnd) { e.Final = false }, false},
		"end not confirmed": {func(e *task.SessionEnd) { e.Confirmed = false }, false},
		"nothing is known":  {func(e *task.SessionEnd) { *e = task.SessionEnd{} }, false},
	} {
		end := none
		c.change(&end)
		if got := end.NeverActed(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestTheEndOfASessionIsToldToPeople(t *testing.T) {
	t.Parallel()
	for want, end := range map[string]task.SessionEnd{
		"its browser session could not be ended and ends by itself: 503: busy":  {Why: "503: busy", Steps: new(0)},
		"its browser session was ended":                                         {Confirmed: true},
		"its browser session was ended, and the agent had taken no step in it":  {Confirmed: true, Steps: new(0)},
		"its browser session was ended, and the agent had taken 1 step in it":   {Confirmed: true, Steps: new(1)},
		"its browser session was ended, and the agent had taken 12 steps in it": {Confirmed: true, Final: true, Steps: new(12)},
	} {
		if got := end.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
