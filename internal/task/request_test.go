package task_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestRequestCarriesItsFields(t *testing.T) {
	r := parse(t, with(`"sessionId":"s-1","task_id":"ord-1","timeout":"90s","expires_at":"2030-01-02T03:04:05Z",
		"on_unknown_submission":"resubmit","metadata":{"order": 1.0},"output_schema":{"type": "object"}`))
	if r.SessionID != "s-1" || r.TaskID != "ord-1" || r.Timeout != 90*time.Second || r.OnUnknown != task.Resubmit {
		t.Errorf("got %q, %q, %v, %v", r.SessionID, r.TaskID, r.Timeout, r.OnUnknown)
	}
	if want := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC); !r.ExpiresAt.Equal(want) {
		t.Errorf("expires at: got %v, want %v", r.ExpiresAt, want)
	}
	if got, want := string(r.Metadata), `{"order": 1.0}`; got != want {
		t.Errorf("metadata: got %s, want %s", got, want)
	}
	if got, want := string(r.OutputSchema), `{"type": "object"}`; got != want {
		t.Errorf("output schema: got %s, want %s", got, want)
	}
}

func TestDefaultsFillFieldsThatAreLeftOut(t *testing.T) {
	for _, d := range []task.Defaults{{Timeout: time.Minute, OnUnknown: task.Fail}, {Timeout: time.Hour, OnUnknown: task.Resubmit}} {
		r, err := task.ParseRequest(delivery(with(`"async":false`)), d)
		if err != nil || r.Timeout != d.Timeout || r.OnUnknown != d.OnUnknown {
			t.Errorf("got %v, %v, %v, want %+v", r.Timeout, r.OnUnknown, err, d)
		}
	}
	r, err := task.ParseRequest(delivery(with(`"on_unknown_submission":"fail"`)), task.Defaults{OnUnknown: task.Resubmit})
	if err != nil || r.OnUnknown != task.Fail {
		t.Errorf("got %v, %v, want the request's own choice", r.OnUnknown, err)
	}
}

func TestBodyHasTheFieldsOfTheAPI(t *testing.T) {
	r := parse(t, `{"extra":{"use_vision":null,"n":1.50},"prompt":"a<b\u00e9","url":"https://a.example","sessionId":"s",
		"async":false,"detect_elements":false,"max_steps":40,"task_id":"x","timeout":"1s","expires_at":"2030-01-01T00:00:00Z",
		"on_unknown_submission":"fail","metadata":{},"secret_values":{"PIN":"1"},"output_schema":{"minimum":1.0}}`)
	want := `{"async":true,"prompt":"a<b\u00e9","url":"https://a.example","detect_elements":false,"max_steps":40,` +
		`"secret_values":{"PIN":"1"},"output_schema":{"minimum":1.0},"use_vision":null,"n":1.50}`
	if got := string(r.Body); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestARequestKeepsOnlyItsTrace(t *testing.T) {
	m := delivery(with(`"model":"m"`))
	m.Header = map[string][]string{"traceparent": {traceparent}, "tracestate": {"a=b"}, "Authorization": {"x"}}
	r, err := task.ParseRequest(m, defaults)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"traceparent": {traceparent}, "tracestate": {"a=b"}}
	if r.Delivery.Data != nil || !reflect.DeepEqual(r.Delivery.Header, want) || r.Delivery.Seq != 7 {
		t.Errorf("got %+v, want only %v kept", r.Delivery, want)
	}
}

func TestRequestSharesNoMemoryWithItsMessage(t *testing.T) {
	const content = `{"prompt":"p","url":"https://a.example","session":{"a":1},"browser":{"b":2},"task_id":"ord-1","metadata":{"n":1},"output_schema":{"type":"object"},"secret_values":{"PIN":"1234"}`
	m, broken := delivery(content+`}`), delivery(content+`,"x":1}`)
	r, err := task.ParseRequest(m, defaults)
	if err != nil {
		t.Fatal(err)
	}
	refusal := refuse(t, broken)
	before := fmt.Sprintf("%+v %s %s %s %s", *r, r.Body, r.Metadata, r.OutputSchema, refusal.Metadata)
	clear(m.Data)
	clear(broken.Data)
	if after := fmt.Sprintf("%+v %s %s %s %s", *r, r.Body, r.Metadata, r.OutputSchema, refusal.Metadata); after != before {
		t.Errorf("got  %s\nwant %s", after, before)
	}
	if got, want := r.Secrets.Text("1234"), "[redacted:PIN]"; got != want {
		t.Errorf("secrets: got %s, want %s", got, want)
	}
}

func TestTaskIDComesFromTheBodyTheHeaderOrTheStream(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, tc := range []struct{ body, header, want string }{
		{`"task_id":"a.b_c-d=1"`, "h", "a.b_c-d=1"},
		{`"task_id":"` + long + `"`, "", long},
		{`"model":"m"`, "h-1", "h-1"},
		{`"model":"m"`, "two words", "TASKS-7"},
		{`"model":"m"`, "", "TASKS-7"},
	} {
		m := delivery(with(tc.body))
		m.Header = map[string][]string{"Nats-Msg-Id": {tc.header}}
		if r, err := task.ParseRequest(m, defaults); err != nil || r.TaskID != tc.want {
			t.Errorf("%s, header %q: got %v, %v, want %s", tc.body, tc.header, r, err, tc.want)
		}
	}
}

func TestABrokenRequestKeepsItsID(t *testing.T) {
	for _, tc := range []struct{ data, header, want string }{
		{`{"task_id":"a","prompt":1}`, "h", "a"},
		{`{"task_id":"a","nope":1}`, "", "a"},
		{`{"task_id":"a","x":{"k":1,"k":2}}`, "", "a"},
		{`{"task_id":"a","prompt":"` + "\xff" + `"}`, "", "a"},
		{`{"task_id":"a","task_id":"b"}`, "h", "h"},
		{`{"task_id":"-a","prompt":"p"}`, "", "TASKS-7"},
		{`{"task_id":"a"`, "h", "h"},
		{`{"task_id":"a"`, "", "TASKS-7"},
	} {
		m := delivery(tc.data)
		m.Header = map[string][]string{"Nats-Msg-Id": {tc.header}}
		if got := refuse(t, m).TaskID; got != tc.want {
			t.Errorf("%s, header %q: got %s, want %s", tc.data, tc.header, got, tc.want)
		}
	}
}

func TestABrokenRequestReturnsItsMetadata(t *testing.T) {
	for _, tc := range []struct{ data, want string }{
		{`{"metadata":{"order":1},"prompt":""}`, `{"order":1}`},
		{`{"metadata":[1],"prompt":""}`, ``},
		{`{"metadata":{"a":1,"a":2},"prompt":""}`, ``},
		{`{"metadata":{"a":"` + strings.Repeat("x", 70_000) + `"},"prompt":""}`, ``},
		{`{"metadata":{"order":1}`, ``},
	} {
		if got := string(refuse(t, delivery(tc.data)).Metadata); got != tc.want {
			t.Errorf("%.80s: got %.80s, want %s", tc.data, got, tc.want)
		}
	}
}

func TestRefusalsShowNoSecret(t *testing.T) {
	for _, data := range []string{
		`{"secret_values":{"PIN":"hunter2x"},"url":"ftp://hunter2x.example"}`,
		`{"secret_values":{"PIN":"hunter2x"},"url":"ftp://u:hunter2x@a.example"}`,
		`{"url":"ftp://u:hunter2x@a.example"}`,
		`{"secret_values":{"PIN":"hunter2x"},"hunter2x":1}`,
		`{"secret_values":{"hunter2x":"hunter2x","B":1}}`,
		`{"secret_values":{"hunter2x":"hunter2x","hunter2x":""}}`,
		`{"secret_values":{"PIN":["hunter2x"]},"timeout":"hunter2x"}`,
		`{"secret_values":{"PIN":"hunter2x"},"timeout":"` + strings.Repeat("-", 73) + `hunter2x"}`,
		`{"secret_values":{"PIN":"hunter2x"},"output_schema":{"pattern":"(hunter2x"}}`,
		`{"secret_values":{"PIN":"hunter2x"},"output_schema":{"type":"hunter2x"}}`,
		`{"timeout":"hunter2x","secret_values":"hunter2x"}`,
		`{"timeout":"hunter2x","secretValues":{"PIN":"hunter2x"}}`,
	} {
		e := refuse(t, delivery(data))
		if strings.Contains(e.Error(), "hunter") || strings.Contains(fmt.Sprintf("%+v", *e), "hunter") {
			t.Errorf("%s: got %v", data, e)
		}
	}
}

// requestSeeds are the requests that fuzz tests begin with.
func requestSeeds() []string {
	return []string{
		`{"prompt":"p","url":"https://a.example","secret_values":{"A":"b"},"extra":{"x":1},"metadata":{}}`,
		`{"prompt":"p","url":"https://a.example","session":{"tags":["a"],"timeout":{"max_duration":5},"live_view":{}},"browser":{},"on_unknown_submission":"fence"}`,
		`{"prompt":"p","sessionId":"s","session":{},"on_unknown_submission":"fence"}`,
		`{"prompt":"p","sessionId":"s","output_schema":{"$ref":"#/$defs/a","$defs":{"a":{"pattern":"^(?=a)","multipleOf":1e3}}}}`,
		`{"prompt":"p","url":"https://a.example","output_schema":{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{}]}}`,
		`{"prompt":"p","url":"https://a.example","timeout":"1h","expires_at":"2030-01-01T00:00:00Z","task_id":"a"}`,
		`{"a":1e99999999}`, `[]`, `{"secret_values":{"PIN":`, "\xff", ``,
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range requestSeeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := task.ParseRequest(task.Delivery{Stream: "S", Seq: 1, Data: data}, defaults)
		if err != nil {
			if e, ok := errors.AsType[*task.InvalidError](err); !ok || e.TaskID == "" || e.Message == "" || len(e.Error()) > 4096 {
				t.Fatalf("got %v", err)
			}
			return
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &body); err != nil || string(body["async"]) != "true" || body["prompt"] == nil {
			t.Fatalf("body: got %s, %v", r.Body, err)
		}
		again, err := task.ParseRequest(task.Delivery{Stream: "S", Seq: 1, Data: data}, defaults)
		if err != nil || again.Digest != r.Digest {
			t.Fatalf("again: got %v, want the same request", err)
		}
	})
}

// The memory of a request counts against the worker's budget until its event is stored.
func TestASubmittedRequestCountsWhatItStillNeeds(t *testing.T) {
	none := parse(t, with(`"model":"`+strings.Repeat("m", 1000)+`"`))
	if got := none.KeptSize(); got < 1000 {
		t.Errorf("got %d bytes with the body, want 1000 at least", got)
	}
	none.Body = nil
	if got, most := none.KeptSize(), 100; got > most {
		t.Errorf("got %d bytes without schema, metadata and secrets, want %d at most", got, most)
	}
	for name, members := range map[string]string{
		"schema":   `"output_schema":{"description":"` + strings.Repeat("x", 1000) + `"}`,
		"session":  `"session":{"tags":["` + strings.Repeat("x", 1000) + `"]}`,
		"browser":  `"browser":{"a":"` + strings.Repeat("x", 1000) + `"}`,
		"metadata": `"metadata":{"a":"` + strings.Repeat("x", 1000) + `"}`,
		"secrets":  `"secret_values":{"A":"` + strings.Repeat("x", 1000) + `"}`,
		"retries":  `"retries":1,"retry_with":[{"model":"` + strings.Repeat("x", 1000) + `"}]`,
	} {
		r := parse(t, with(members))
		r.Body = nil
		if got := r.KeptSize(); got < 1000 {
			t.Errorf("%s: got %d bytes, want 1000 at least", name, got)
		}
	}
}
