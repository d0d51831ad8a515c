package task_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestARequestSaysWhatItsSessionIsCreatedWith(t *testing.T) {
	r := parse(t, with(`"session":{"recording": {"active":false}},"browser":{"headless" :{}},"on_unknown_submission":"fence"`))
	if got, want := string(r.Session), `{"recording": {"active":false}}`; got != want {
		t.Errorf("session: got %s, want %s as it came", got, want)
	}
	if got, want := string(r.Browser), `{"headless" :{}}`; got != want {
		t.Errorf("browser: got %s, want %s as it came", got, want)
	}
	if r.OnUnknown != task.Fence {
		t.Errorf("got %s, want fence", r.OnUnknown)
	}
	if got, want := string(r.Body), `{"async":true,"prompt":"p","url":"https://a.example"}`; got != want {
		t.Errorf("body: got %s, want %s", got, want)
	}
}

func TestTheContentIncludesTheSession(t *testing.T) {
	digests := map[string]string{}
	for _, members := range []string{
		`"task_id":"a"`, `"task_id":"a","session":{}`, `"task_id":"a","session":{"tags":["b"]}`, `"task_id":"a","browser":{}`,
		`"task_id":"a","on_unknown_submission":"fence"`,
	} {
		r := parse(t, with(members))
		if other, ok := digests[r.Digest]; ok {
			t.Errorf("got one digest for %s and %s, want two", members, other)
		}
		digests[r.Digest] = members
	}
}

func TestAMistakeInASessionIsNotQuotedInARefusal(t *testing.T) {
	for _, members := range []string{
		`"session":"hunter2x"`, `"session":{"tags":"hunter2x"}`, `"session":{"tags":["hunter2x",1]}`, `"session":{"timeout":"hunter2x"}`,
		`"session":{"live_view":["hunter2x"]}`, `"browser":"hunter2x"`, `"session":{"proxy":{"password":"hunter2x"}},"sessionId":"s"`,
		`"browser":{"password":"hunter2x"},"sessionId":"s"`,
	} {
		e := refuse(t, delivery(with(members)))
		if !strings.HasPrefix(e.Field, "session") && e.Field != "browser" || strings.Contains(fmt.Sprintf("%+v", *e), "hunter") {
			t.Errorf("%s: got %+v, want the name of the field and nothing quoted", members, *e)
		}
	}
}

// A worker whose default is fence runs requests with a session of their own as well.
func TestTheDefaultFenceIsForSessionsThatCapstanCreates(t *testing.T) {
	for request, want := range map[string]task.OnUnknown{
		with(`"model":"m"`):     task.Fence,
		with(`"sessionId":"s"`): task.Fail,
		with(`"sessionId":"s","on_unknown_submission":"fail"`):     task.Fail,
		with(`"sessionId":"s","on_unknown_submission":"resubmit"`): task.Resubmit,
		with(`"on_unknown_submission":"fail"`):                     task.Fail,
	} {
		r, err := task.ParseRequest(delivery(request), task.Defaults{Timeout: time.Hour, OnUnknown: task.Fence})
		if err != nil || r.OnUnknown != want {
			t.Errorf("%s: got %+v, %v, want %s", request, r, err, want)
		}
	}
}

func TestSomeFieldsNeedASessionOfTheTask(t *testing.T) {
	for members, want := range map[string]string{
		`"model":"m"`: "", `"session":{}`: "session", `"browser":{}`: "browser", `"on_unknown_submission":"fence"`: "on_unknown_submission",
		`"on_unknown_submission":"resubmit"`: "", `"sessionId":"s"`: "",
	} {
		if got := parse(t, with(members)).NeedsSession(); got != want {
			t.Errorf("%s: got %q, want %q", members, got, want)
		}
	}
}

func TestASessionIsThatOfItsTask(t *testing.T) {
	for members, want := range map[string]string{
		`"task_id":"a"`: `{"session":{"tags":["capstan","capstan-task:a"],"timeout":{"idle_timeout":5,"max_duration":66}}}`,
		`"task_id":"a","batch":"night","timeout":"90s"`: `{"session":{"tags":["capstan","capstan-task:a","capstan-batch:night"],` +
			`"timeout":{"idle_timeout":5,"max_duration":8}}}`,
		`"task_id":"a","session":{"tags":["mine"],"timeout":{"max_duration":-1}},"browser":{"headless":{"active":true}}`: `{"browser":{"headless":{"active":true}},` +
			`"session":{"tags":["mine","capstan","capstan-task:a"],"timeout":{"idle_timeout":5,"max_duration":-1}}}`,
		`"task_id":"a","session":{"timeout":{"idle_timeout":1},"live_view":{"read_only":false}}`: `{"session":{"live_view":{"read_only":false},` +
			`"tags":["capstan","capstan-task:a"],"timeout":{"idle_timeout":1,"max_duration":66}}}`,
	} {
		got, err := parse(t, with(members)).NewSession().JSON()
		if err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", members, got, err, want)
		}
	}
}

// A request that is read never fails because Capstan cannot write the call that creates its session.
func FuzzASessionThatIsReadCanBeCreated(f *testing.F) {
	for _, seed := range [][2]string{
		{`{}`, `{}`},
		{`{"tags":["a"],"timeout":{"max_duration":1},"live_view":{}}`, `{"a":[1e308]}`},
		{`{"tags":[null]}`, `null`},
		{`{"t\u0061gs":{}}`, `{}`},
		{`{"tags":[],"Tags":7,"\ud83d":1}`, `{"b":"<\ud83d>"}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, session, browser string) {
		data := with(`"task_id":"a","session":` + session + `,"browser":` + browser)
		r, err := task.ParseRequest(delivery(data), defaults)
		if err != nil || r.Session == nil || r.Browser == nil {
			return
		}
		request := r.NewSession()
		request.ReadOnlyView = true
		body, err := request.JSON()
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var sent struct{ Session map[string]json.RawMessage }
		var tags []string
		if err := errors.Join(json.Unmarshal(body, &sent), json.Unmarshal(sent.Session["tags"], &tags)); err != nil || !slices.Contains(tags, task.SessionTag("a")) {
			t.Errorf("%s: got %s, %v, want the task's tag in it", data, body, err)
		}
	})
}
