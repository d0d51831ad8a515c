package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// Nothing of a request's secrets and prompt, of the API's own words and of the API key is where it does not
// belong, however much is logged.
func TestSecretsAreNowhereButInTheSubmission(t *testing.T) {
	t.Parallel()
	const (
		secret = `hunter2"<pass>`
		marker = "xylophone" // in every prompt, and in all that the API says
	)
	w := newWorld(t)
	p := w.startReady("w1", "LOG_LEVEL=trace")
	escaped := string(marshal(t, secret))
	text := string(marshal(t, string(marshal(t, map[string]string{"login": secret}))))
	values := fmt.Sprintf(`"secret_values":{"PIN":%s}`, escaped)
	says := anchortest.Plan{Result: json.RawMessage(fmt.Sprintf(`{"heading":%s,"json":%s,"name":%q}`, escaped, text, marker))}
	w.submit("says", says, values)
	w.submit("fails", anchortest.Plan{State: "FAILED", Error: "cannot log in with " + secret + " to the " + marker}, values)
	for i, fault := range []anchortest.Fault{
		{Status: 400, Body: fmt.Sprintf(`{"error":{"code":400,"message":"bad %s: hunter2\"<pass> with key %s"}}`, marker, w.api.Key())},
		{Status: 429, Header: map[string]string{"Retry-After": "1", "X-Note": marker}, Body: fmt.Sprintf(`{"error":%s,"by":%q}`, escaped, marker)},
		{Status: 500, Header: map[string]string{"Content-Type": "text/plain"}, Body: marker + " " + secret + " " + w.api.Key()},
	} {
		w.submit(fmt.Sprint("fault", i), faulty(fault), values)
	}
	w.publish(fmt.Sprintf(`{"prompt":"say %s to the %s","url":"nowhere",%s}`, `hunter2\"<pass>`, marker, values))
	w.publish(fmt.Sprintf(`{"prompt":"play the %s","url":%s,%s}`, marker, escaped, values))
	w.publish(fmt.Sprintf(`{"prompt":"play the %s","url":"https://example.com","hunter2\"<pass>":1,%s}`, marker, values))
	w.waitEvents(8)
	w.waitQuiet()

	log := p.log.String()
	everywhere := strings.Join([]string{w.everything("TASK_RESULTS"), w.everything("TASK_DEAD"), w.everything("KV_task_tracker"), log}, "\n")
	for _, hidden := range []string{"hunter2", w.api.Key()} {
		if strings.Contains(everywhere, hidden) {
			t.Errorf("%s is in\n%s", hidden, everywhere)
		}
	}
	if strings.Contains(log, marker) {
		t.Errorf("a prompt or the API's own words are in the log\n%s", log)
	}
	if !strings.Contains(everywhere, "[redacted:PIN]") || !strings.Contains(everywhere, "Capstan-Reason") {
		t.Errorf("got no mark in place of the secret, or no headers, in\n%s", everywhere)
	}
	if body := string(w.seen("says", says).Bodies[0]); !strings.Contains(body, "hunter2") {
		t.Errorf("the agent was not given the secret: %s", body)
	}
}

// everything is each message of a stream, its headers and its data.
func (w *world) everything(stream string) string {
	w.t.Helper()
	var all strings.Builder
	w.each(stream, func(m *jetstream.RawStreamMsg) { fmt.Fprintf(&all, "%s %v %s\n", m.Subject, m.Header, m.Data) })
	return all.String()
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
