package hostile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// withSchema is an attack with n equal messages, one schema and one result.
func withSchema(n int, schema, result string, want ...task.Code) attack {
	return attack{
		n:       n,
		request: func(i int) string { return request(fmt.Sprint("attack-", i), attackPlan, `"output_schema":`+schema) },
		answers: anchortest.Plan{Result: json.RawMessage(result)},
		want:    want,
	}
}

// costly returns a valid schema that takes long to compile: it has many different patterns.
func costly(i int) string {
	var properties []string
	for j := range 300 {
		properties = append(properties, member(fmt.Sprintf("p%d", j), fmt.Sprintf(`{"type":"string","pattern":"^[a-z]{1,%d}(?:x%dy%d|[0-9]+)*$"}`, j%50+1, i, j)))
	}
	return `{"type":"object","properties":{` + strings.Join(properties, ",") + `}}`
}

func TestCostlySchemasWhileTheWorkerIsStopped(t *testing.T) {
	heavy(t)
	attack{
		n:       300,
		request: func(i int) string { return request(fmt.Sprint("attack-", i), attackPlan, `"output_schema":`+costly(i)) },
		answers: anchortest.Plan{Result: json.RawMessage(`{"p1":"a"}`)},
		want:    []task.Code{""},
		during: func(w *world) {
			if err := w.worker.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			pause(t, 5500*time.Millisecond)
			if err := w.worker.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		},
	}.run(t)
}

func TestSchemasWithEndlessViolations(t *testing.T) {
	heavy(t)
	ones := "[" + strings.Repeat("1,", 1<<19) + "1]"
	types := strings.TrimSuffix(strings.Repeat(`{"type":"string"},`, 20), ",")
	deep := `{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"string"},{"type":"array","items":{"$ref":"#/$defs/a"}},{"type":"array","items":{"$ref":"#/$defs/a"}}]}}}`
	for name, c := range map[string]attack{
		"types":         withSchema(10, `{"items":{"anyOf":[`+types+`]}}`, ones, task.InvalidResult),
		"all types":     withSchema(10, `{"items":{"allOf":[`+types+`]}}`, ones, task.InvalidResult),
		"deep choices":  withSchema(10, deep, strings.Repeat("[", 60)+"1"+strings.Repeat("]", 60), task.InvalidResult),
		"names":         withSchema(10, `{"propertyNames":{"maxLength":1}}`, object(50_000), task.InvalidResult),
		"unique":        withSchema(10, `{"uniqueItems":true}`, colliding(60_000), "", task.InvalidResult),
		"unique arrays": withSchema(10, `{"uniqueItems":true}`, "["+strings.Repeat("[[[[1]]]],", 50_000)+"2]", task.InvalidResult),
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

// object returns an object with n members.
func object(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = member(fmt.Sprint("name", i), "1")
	}
	return "{" + strings.Join(members, ",") + "}"
}

// colliding returns an array of strings of one length that differ in few bytes, which a weak hash does not distinguish.
func colliding(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`"%s%06d"`, strings.Repeat("a", 10), i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func TestPatternsThatTakeForever(t *testing.T) {
	heavy(t)
	long := quote(strings.Repeat("a", 100_000) + "!")
	for name, c := range map[string]attack{
		"nested":       withSchema(20, `{"pattern":"^(a+)+$"}`, long, task.InvalidResult),
		"alternatives": withSchema(20, `{"pattern":"^(a|aa)+$"}`, long, task.InvalidResult),
		"references":   withSchema(20, `{"pattern":"(a*)(a*)(a*)(a*)\\1\\2\\3\\4b"}`, long, task.InvalidResult, task.InvalidRequest),
		"repetition":   withSchema(20, `{"pattern":"^((((a{1,100}){1,100}){1,100}){1,100})$"}`, long, task.InvalidResult, task.InvalidRequest),
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

// Large schemas and values that are honest get the same verdict as small ones.
func TestLargeHonestSchemasPass(t *testing.T) {
	heavy(t)
	base64 := `{"pattern":"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}`
	rows := "[" + strings.Repeat(`{"id":7,"name":"x"},`, 99_999) + `{"id":8,"name":"y"}]`
	row := `{"type":"array","items":{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"name":{"type":"string"}}}}`
	var names []string
	for i := range 9_000 {
		names = append(names, quote(fmt.Sprint("name ", i)))
	}
	for name, c := range map[string]attack{
		"base64 of 5 MB": withSchema(4, base64, quote(strings.Repeat("QUJD", 1_250_000)), ""),
		"100,000 rows":   withSchema(4, row, rows, ""),
		"a long choice":  withSchema(20, `{"enum":[`+strings.Join(names, ",")+`]}`, `"name 8999"`, ""),
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}
