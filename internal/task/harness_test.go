package task_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/task"
)

var defaults = task.Defaults{Timeout: time.Hour}

func delivery(data string) task.Delivery {
	return task.Delivery{Stream: "TASKS", Seq: 7, Data: []byte(data)}
}

// with returns a request that has the minimum and these members.
func with(members string) string { return `{"prompt":"p","url":"https://a.example",` + members + `}` }

func schemaRequest(schema string) string { return with(`"output_schema":` + schema) }

const heading = `{"type":"object","required":["heading"],"properties":{"heading":{"type":"string"}}}`

// small is about the size of most requests.
const small = `{
  "task_id": "ord-1842",
  "prompt": "Open the order page, read the heading and the total, and return both of them as JSON.",
  "url": "https://shop.example/orders/1842?view=full",
  "agent": "browser-use",
  "max_steps": 40,
  "timeout": "10m",
  "secret_values": {"PIN": "482913"},
  "metadata": {"order": 1842, "customer": "c-77"}
}`

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// published returns a request with the minimum whose publisher gave it these headers.
func published(header map[string][]string) task.Delivery {
	m := delivery(with(`"model":"m"`))
	m.Header = header
	return m
}

// requestSchema is compiled once.
var requestSchema = sync.OnceValue(func() contracttest.Schema { return contracttest.Load("request") })

// parse returns a request that has to be valid, also to its schema.
func parse(t *testing.T, data string) *task.Request {
	t.Helper()
	r, err := task.ParseRequest(delivery(data), defaults)
	if err != nil {
		t.Fatalf("ParseRequest(%.200s): %v", data, err)
	}
	requestSchema().Agree(t, []byte(data), err)
	return r
}

// refuse returns why a request is refused. Its schema has to refuse it as well, or the rule is one that it cannot state.
func refuse(t *testing.T, m task.Delivery) *task.InvalidError {
	t.Helper()
	_, err := task.ParseRequest(m, defaults)
	invalid, ok := errors.AsType[*task.InvalidError](err)
	if !ok {
		t.Fatalf("ParseRequest(%.200s): got %v, want an *InvalidError", m.Data, err)
	}
	requestSchema().Agree(t, m.Data, err)
	return invalid
}

func completed(result string) task.Outcome {
	return task.Outcome{Workflow: task.Workflow{Status: "COMPLETED", Result: json.RawMessage(result)}}
}

func judge(t *testing.T, r *task.Request, e task.Outcome) task.Verdict {
	t.Helper()
	v, err := r.Judge(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func checkVerdict(t *testing.T, v task.Verdict, result, want string) {
	t.Helper()
	if v.Error != nil {
		if string(v.Error.Code) != want || v.Error.Retryable != v.Error.Code.Retryable() {
			t.Errorf("got %+v, want %s", v.Error, want)
		}
		if raw := strings.TrimPrefix(result, "null"); string(v.RawResult) != raw || v.Result != nil {
			t.Errorf("got result %s and raw %s, want raw %s", v.Result, v.RawResult, raw)
		}
		return
	}
	if string(v.Result) != want {
		t.Errorf("got %s, want %s", v.Result, want)
	}
	if raw := strings.TrimSuffix(result, want); (raw == "") != (v.RawResult == nil) || raw != "" && string(v.RawResult) != result {
		t.Errorf("got raw %s, want %s exactly where it differs", v.RawResult, result)
	}
}

// secretsOf returns the secrets of a request with these secret_values.
func secretsOf(t *testing.T, values map[string]string) task.Secrets {
	t.Helper()
	return parse(t, with(`"secret_values":`+marshal(t, values))).Secrets
}

// marshal returns v as encoding/json writes it.
func marshal(tb testing.TB, v any) string {
	tb.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(encoded)
}

// encoded is a value as encoding/json writes it, or nil where it cannot.
func encoded(value any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// canonicalDigest returns the digest of a request by way of encoding/json.
func canonicalDigest(t *testing.T, data []byte, id string) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var content map[string]any
	if err := dec.Decode(&content); err != nil {
		t.Fatal(err)
	}
	delete(content, "secret_values")
	delete(content, "metadata")
	content["task_id"] = id
	return fmt.Sprintf("%x", sha256.Sum256([]byte(marshal(t, content))))
}

// marshalAgain returns the value as encoding/json writes what it read.
func marshalAgain(t *testing.T, value []byte) string {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return marshal(t, v)
}

// shows reports whether a decoded string, name or number of the JSON shows the value outside of marks.
func shows(raw []byte, value string) bool {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	marks := strings.NewReplacer("[redacted:PIN]", "\x00", "[redacted]", "\x00")
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		text, ok := token.(string)
		if n, isNumber := token.(json.Number); isNumber && string(n) == value || ok && strings.Contains(marks.Replace(text), value) {
			return true
		}
	}
}

// values returns secret_values with so many different ones.
func values(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"N%d":"<%d>"`, i, i))
	}
	return `"secret_values":{` + strings.Join(all, ",") + `}`
}

// deep is nested so that it breaks the bound as a member of a member.
var deep = strings.Repeat("[", 99) + strings.Repeat("]", 99)

// manySecrets returns one secret more than a request may have.
func manySecrets() string {
	var all []string
	for i := range 101 {
		all = append(all, fmt.Sprintf(`"N%d":"v"`, i))
	}
	return strings.Join(all, ",")
}

// wantRow checks that api/README.md lists a difference between a schema and what is read.
func wantRow(t *testing.T, name string) {
	t.Helper()
	readme, err := os.ReadFile("../../api/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "\n| "+name+" |") {
		t.Errorf("api/README.md has no row for %s", name)
	}
}
