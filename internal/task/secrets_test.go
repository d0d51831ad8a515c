package task_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestSecretsPrintAsRedacted(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "hunter2x"}).With("hunter3x")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{s, &s, struct{ S task.Secrets }{s}, []task.Secrets{s}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hunter") || strings.Contains(got, "68756e") || !strings.Contains(got, "redacted") {
				t.Errorf("%s of a %T: got %s", verb, v, got)
			}
		}
	}
	if got, err := json.Marshal(map[string]any{"s": s}); err != nil || string(got) != `{"s":"[redacted]"}` {
		t.Errorf("JSON: got %s, %v", got, err)
	}
}

func TestEventsLoseTheirSecretsButNotTheirMetadata(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "1234"}).With("sk-live-77", "sk-old-66")
	before := task.Event{
		Result:    json.RawMessage(`"1234"`),
		RawResult: json.RawMessage(`{"result":"1234","cdp_url":"wss://connect.example?apiKey=sk-live-77","sk-old-66":1234}`),
		Error:     task.NewError(task.WorkflowFailed, "wrong pin 1234, key sk%2Dlive%2D77"), Metadata: json.RawMessage(`{"order":1234}`),
	}
	after := s.Event(before)
	for _, tc := range []struct{ got, want string }{
		{string(after.Result), `"[redacted:PIN]"`},
		{string(after.RawResult), `{"result":"[redacted:PIN]","cdp_url":"wss://connect.example?apiKey=[redacted]","[redacted]":"[redacted:PIN]"}`},
		{after.Error.Message, "wrong pin [redacted:PIN], key [redacted]"},
		{string(after.Metadata), `{"order":1234}`},
		{before.Error.Message, "wrong pin 1234, key sk%2Dlive%2D77"}, // the caller's own
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

func TestAKeyIsTakenOutOfTheEventOfARequestWithoutSecrets(t *testing.T) {
	ev := task.Secrets{}.With("sk-live-77").Event(task.Event{Result: json.RawMessage(`"sk-live-77"`)})
	if got, want := string(ev.Result), `"[redacted]"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestASecretSettingPrintsAsRedacted(t *testing.T) {
	s := task.Secret("hunter2x")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{s, &s, struct{ S task.Secret }{s}, map[string]task.Secret{"s": s}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hunter") || strings.Contains(got, "68756e") {
				t.Errorf("%s of a %T: got %s", verb, v, got)
			}
		}
	}
	if got := marshal(t, map[string]task.Secret{"key": s, "none": ""}); got != `{"key":"[redacted]","none":""}` {
		t.Errorf("JSON: got %s", got)
	}
	for secret, want := range map[task.Secret]string{"hunter2x": "[redacted]", "": ""} {
		if got := secret.String() + secret.GoString(); got != want+want {
			t.Errorf("got %q, want %q twice", got, want)
		}
	}
	if string(s) != "hunter2x" {
		t.Error("the value was lost")
	}
}

func TestPreparedSecretsRedactTheSame(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "1234", "PASSWORD": "hunter2x"}).With("sk-live-77")
	ev := task.Event{
		Result: json.RawMessage(`{"pin":1234,"hunter2x":"sk%2Dlive%2D77"}`),
		Error:  task.NewError(task.AgentFailed, "pin 1234"),
	}
	once, prepared := s.Event(ev), s.Prepared().Event(ev)
	if !bytes.Equal(once.Result, prepared.Result) || once.Error.Message != prepared.Error.Message {
		t.Errorf("got %s, %s, want %s, %s", prepared.Result, prepared.Error.Message, once.Result, once.Error.Message)
	}
}
