package task_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestATaskIsRetriedAfterWhatItsRequestNames(t *testing.T) {
	defaults := []task.Code{task.WorkflowFailed, task.AgentFailed, task.InvalidResult, task.StepLimit}
	for members, want := range map[string][]task.Code{
		`"model":"m"`:               nil,
		`"retries":0`:               nil,
		`"retries":2`:               defaults,
		`"retries":5,"retry_on":[]`: nil,
		`"retries":1,"retry_on":["timeout","workflow_lost"]`: {task.Timeout, task.WorkflowLost},
		`"retries":1,"retry_on":["step_limit","step_limit"]`: {task.StepLimit},
		`"retry_on":["step_limit"]`:                          nil,
	} {
		r := parse(t, with(members))
		for _, code := range task.Codes() {
			if got := r.Retries(0, code); got != slices.Contains(want, code) {
				t.Errorf("%s: got a retry after %s: %v", members, code, got)
			}
			if r.Retries(r.MaxRetries, code) {
				t.Errorf("%s: got retry %d after %s", members, r.MaxRetries+1, code)
			}
		}
	}
}

func TestARetryReplacesMembersOfTheRequest(t *testing.T) {
	r := parse(t, with(`"agent":"a","max_steps":10,"extra":{"new":1},"retries":4,`+
		`"retry_with":[{"agent":"b"},{"model":"m","max_steps":200},{}]`))
	for run, want := range []string{
		`{"prompt":"p","url":"https://a.example","agent":"a","max_steps":10,"new":1,"async":true}`,
		`{"prompt":"p","url":"https://a.example","agent":"b","max_steps":10,"new":1,"async":true}`,
		`{"prompt":"p","url":"https://a.example","agent":"a","model":"m","max_steps":200,"new":1,"async":true}`,
		`{"prompt":"p","url":"https://a.example","agent":"a","max_steps":10,"new":1,"async":true}`,
		`{"prompt":"p","url":"https://a.example","agent":"a","max_steps":10,"new":1,"async":true}`,
	} {
		if got := r.BodyOf(run); !sameJSON(t, got, want) {
			t.Errorf("run %d: got %s, want %s", run, got, want)
		}
	}
	if first, second := r.KindOf(0), r.KindOf(1); first != r.Kind || first == second {
		t.Errorf("got the kinds %q and %q", first, second)
	}
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(a, b)
}

func TestAReferenceToASecretIsReadLater(t *testing.T) {
	r := parse(t, with(`"secret_values":{"USER":"ada"},"secret_refs":{"PIN":"shop/pin","KEY":"..data/key"}`))
	if strings.Contains(string(r.Body), "secret_refs") {
		t.Errorf("got the body %s", r.Body)
	}
	values := []string{"s3cret\"1", "k3y-of-the-shop"}
	want := `{"prompt":"p","url":"https://a.example","async":true,"secret_values":{"USER":"ada","PIN":"s3cret\"1","KEY":"k3y-of-the-shop"}}`
	if got := r.WithSecrets(r.Body, values); !sameJSON(t, got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	r.AddSecrets(values)
	r.AddSecrets([]string{"rotated-pin", "k3y-of-the-shop"}) // before the next run
	const text = `ada s3cret"1 rotated-pin k3y-of-the-shop`
	if got, want := r.Secrets.Text(text), "[redacted:USER] [redacted:PIN] [redacted:PIN] [redacted:KEY]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheContentIncludesTheReferenceAndNotItsValue(t *testing.T) {
	r := parse(t, with(`"secret_refs":{"PIN":"a"}`))
	before := r.Digest
	r.AddSecrets([]string{"value"})
	if other := parse(t, with(`"secret_refs":{"PIN":"b"}`)); r.Digest != before || other.Digest == before {
		t.Errorf("got the digests %s and %s", before, other.Digest)
	}
}

func TestCancellationsAndPausesAreReadLeniently(t *testing.T) {
	for value, want := range map[string]string{
		`{"reason":"wrong customer","by":"ada","at":"2026-01-02T03:04:05Z"}`: "canceled by ada: wrong customer",
		"wrong customer":               "canceled: wrong customer",
		`"wrong customer"`:             "canceled: wrong customer",
		"":                             "canceled",
		`{}`:                           "canceled",
		`{"reason":1}`:                 `canceled: {"reason":1}`,
		"a\nb\x1b[0m\xff":              "canceled: a b [0m\ufffd",
		strings.Repeat("x", 300) + "y": "canceled: " + strings.Repeat("x", 256) + "…",
	} {
		if got := task.ParseCancellation([]byte(value)).String(); got != want {
			t.Errorf("%.60q: got %q, want %q", value, got, want)
		}
	}
	for value, want := range map[string]string{
		`{"reason":"maintenance","until":"2026-01-02T06:00:00Z","by":"ada"}`: "paused by ada until 2026-01-02T06:00:00Z: maintenance",
		`{"reason":"maintenance","until":"tomorrow"}`:                        "paused: maintenance",
		`{"until":7,"by":"ada"}`:                                             "paused by ada",
		"maintenance":                                                        "paused: maintenance",
		"":                                                                   "paused",
		"{":                                                                  "paused",
	} {
		if got := task.ParsePause([]byte(value)).String(); got != want {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
}
