package task_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAnIDThatIsAnotherRequestsDefaultIsRefused(t *testing.T) {
	e := refuse(t, published(map[string][]string{"Nats-Msg-Id": {"TASKS-3"}}))
	if want := `Nats-Msg-Id must not be of the form TASKS-<number>, which is for requests without an id (got "TASKS-3")`; e.Error() != want || e.TaskID != "TASKS-7" {
		t.Errorf("got %v under %s, want %s under the request's own default", e, e.TaskID, want)
	}
	if e := refuse(t, delivery(with(`"task_id":"TASKS-3"`))); e.TaskID != "TASKS-7" {
		t.Errorf("got an event for %s, want one for the request's own default", e.TaskID)
	}
	own, err := task.ParseRequest(published(map[string][]string{"Nats-Msg-Id": {"TASKS-7"}}), defaults)
	if err != nil || own.TaskID != "TASKS-7" {
		t.Errorf("its own default: got %v, want it to run", err)
	}
	named := delivery(with(`"task_id":"a"`))
	named.Header = map[string][]string{"Nats-Msg-Id": {"TASKS-3"}}
	if r, err := task.ParseRequest(named, defaults); err != nil || r.TaskID != "a" {
		t.Errorf("an id of its own: got %v, want the header passed over", err)
	}
}

func TestTheLongestIDIsADefaultOne(t *testing.T) {
	d := task.Delivery{Stream: strings.Repeat("s", server.JSMaxNameLen), Seq: math.MaxUint64}
	if got := len(d.DefaultID()); got != task.LongestID {
		t.Errorf("got %d bytes, want %d", got, task.LongestID)
	}
}

func TestAMessageIDThatCannotBeATaskIDIsReported(t *testing.T) {
	for _, tc := range []struct {
		ids          []string
		body, unused string
	}{
		{[]string{"two words"}, `"model":"m"`, "two words"},
		{[]string{"a", "b"}, `"model":"m"`, "a"},
		{[]string{strings.Repeat("x", 129)}, `"model":"m"`, strings.Repeat("x", 80) + "…"},
		{[]string{"pin 1234"}, `"secret_values":{"PIN":"1234"}`, "pin [redacted:PIN]"},
		{[]string{"two words"}, `"task_id":"a"`, ""},
		{[]string{"a"}, `"model":"m"`, ""},
		{[]string{""}, `"model":"m"`, ""},
		{nil, `"model":"m"`, ""},
	} {
		m := delivery(with(tc.body))
		m.Header = map[string][]string{"Nats-Msg-Id": tc.ids}
		if r, err := task.ParseRequest(m, defaults); err != nil || r.UnusedMessageID != tc.unused {
			t.Errorf("%q: got %q, %v, want %q", tc.ids, r.UnusedMessageID, err, tc.unused)
		}
	}
}

func TestKindsAreShortAndFew(t *testing.T) {
	kind := func(members string) string { return parse(t, with(members)).Kind }
	long := `"model":"` + strings.Repeat("m", 900_000)
	if a, b := kind(long+`"`), kind(long+`n"`); len(a) > 150 || a == b {
		t.Errorf("got %.200s, %.200s, want short ones that differ", a, b)
	}
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{`"max_steps":33`, `"max_steps":64`, true},
		{`"max_steps":64`, `"max_steps":65`, false},
		{`"max_steps":1`, `"model":"m"`, false},
		{`"agent":"a"`, `"agent":"b"`, false},
		{`"agent":"a"`, `"model":"a"`, false},
		{`"model":"m","url":"https://b.example"`, `"model":"m"`, true},
	} {
		a := strings.Replace(tc.a, `,"url":"https://b.example"`, `,"extra":{"x":1}`, 1)
		if got := kind(a) == kind(tc.b); got != tc.same {
			t.Errorf("%s and %s: got %q and %q, want the same: %v", tc.a, tc.b, kind(a), kind(tc.b), tc.same)
		}
	}
	if got := kind(`"max_steps":2147483647`); !strings.HasSuffix(got, " 2147483648") {
		t.Errorf("got %q", got)
	}
}

func TestAByteOrderMarkIsIgnored(t *testing.T) {
	const data = `{"prompt":"p","url":"https://a.example","task_id":"a","metadata":{"n":1}}`
	with, without := parse(t, "\ufeff"+data), parse(t, data)
	if with.Digest != without.Digest || !bytes.Equal(with.Body, without.Body) || string(with.Metadata) != `{"n":1}` {
		t.Errorf("got %s, %s, want the request without the mark", with.Body, with.Metadata)
	}
	if e := refuse(t, delivery("\ufeff"+`{"task_id":"a","metadata":{"n":1},"prompt":""}`)); e.TaskID != "a" || string(e.Metadata) != `{"n":1}` {
		t.Errorf("a broken one: got %s, %s", e.TaskID, e.Metadata)
	}
	for data, want := range map[string]string{"\ufeff": "request is empty", "\ufeff\ufeff" + data: "request is not JSON"} {
		if got := refuse(t, delivery(data)).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", data, got, want)
		}
	}
}

func TestURLsAreReadAsBrowsersDo(t *testing.T) {
	for _, url := range []string{
		"https://shop.example/50%-off", " https://shop.example/ ", "\n\thttps://shop.example", "https://shop.example/%", "https://shop.example/a%2",
		"https://shop.example/?q=100%&r=%zz#50%", "HTTPS://a.example:8443/x?y#z", "https://shop.example/%41",
	} {
		literal := marshal(t, url)
		r := parse(t, `{"prompt":"p","url":`+literal+`}`)
		if !strings.Contains(string(r.Body), `"url":`+literal) {
			t.Errorf("%q: got %s, want it as it was written", url, r.Body)
		}
	}
	for _, url := range []string{"https://50%.example", "https://", " ", "https://a b.example/", "%", "https://a.example/a\nb"} {
		if got := refuse(t, delivery(`{"prompt":"p","url":`+marshal(t, url)+`}`)).Field; got != "url" {
			t.Errorf("%q: got the field %s, want url", url, got)
		}
	}
}

func TestParsingHoldsLittleMoreThanTheBody(t *testing.T) {
	for name, data := range map[string]string{
		"prompt": with(`"model":"` + strings.Repeat("m", 1<<20) + `"`),
		"secret": with(`"secret_values":{"A":"` + strings.Repeat("s", 1<<20) + `"}`),
	} {
		r := parse(t, data)
		if got, most := len(r.Body)+len(r.Metadata)+len(r.OutputSchema)+len(r.Kind), len(data)+1<<10; got > most {
			t.Errorf("%s: got %d bytes, want %d at most", name, got, most)
		}
	}
}
