package task_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan"
	"github.com/capstan-worker/capstan/internal/task"
)

// kinds are the members of a type, with the kinds of their values.
type kinds map[string]string

func TestTheClientsHaveTheFieldsOfARequest(t *testing.T) {
	want := kinds{}
	for _, name := range task.FieldNames() {
		want[name] = kindOfField(t, name)
	}
	same(t, "capstan.ts", kindsIn(t, "capstan.ts", `(?s)interface TaskRequest \{(.*?)\n\}`), want)
	same(t, "capstan.py", kindsIn(t, "capstan.py", `(?s)TypedDict\("TaskRequest", \{(.*?)\n\}`), want)
	delete(want, "directlyOpenUrl") // another spelling of directly_open_url
	same(t, "package capstan", kindsOf(reflect.TypeFor[capstan.Request]()), want)
	retry := kinds{"agent": "a string", "provider": "a string", "model": "a string", "max_steps": "a number"}
	same(t, "capstan.RetryWith", kindsOf(reflect.TypeFor[capstan.RetryWith]()), retry)
	same(t, "RetryWith of capstan.ts", kindsIn(t, "capstan.ts", `interface RetryWith \{(.*)\}`), retry)
	same(t, "RetryWith of capstan.py", kindsIn(t, "capstan.py", `TypedDict\("RetryWith", \{(.*)\}`), retry)
}

func TestTheClientsHaveTheFieldsOfAnEvent(t *testing.T) {
	for name, types := range map[string]struct{ ours, theirs reflect.Type }{
		"Event":     {reflect.TypeFor[task.Event](), reflect.TypeFor[capstan.Event]()},
		"Error":     {reflect.TypeFor[task.Error](), reflect.TypeFor[capstan.Error]()},
		"Run":       {reflect.TypeFor[task.Run](), reflect.TypeFor[capstan.Run]()},
		"ResultRef": {reflect.TypeFor[task.ResultRef](), reflect.TypeFor[capstan.ResultRef]()},
	} {
		want := kindsOf(types.ours)
		same(t, "capstan."+name, kindsOf(types.theirs), want)
		if name == "Event" || name == "Error" { // not the names of types that the languages have
			name = "Task" + name
		}
		if _, ok := want["metadata"]; ok {
			want["metadata"] = "an object" // as json.RawMessage it can be anything
		}
		same(t, name+" of capstan.ts", kindsIn(t, "capstan.ts", `(?s)interface `+name+` \{(.*?)\}`), want)
		same(t, name+" of capstan.py", kindsIn(t, "capstan.py", `(?s)TypedDict\("`+name+`", \{(.*?)\}`), want)
	}
}

// An event that a worker writes reads the same in the client.
func TestTheClientLosesNothingOfAnEvent(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	steps, credits := new(0), new(0.25)
	ev := task.Event{
		TaskID: "a", Status: task.Failed, WorkflowID: "w", WorkflowStatus: "FAILED", Result: json.RawMessage(`[1e400]`),
		ResultRef: &task.ResultRef{Bucket: "b", Name: "n", Size: 1 << 60, Digest: "d"}, RawResult: json.RawMessage(`null`),
		Error: task.NewError(task.Timeout, "<late>"), Metadata: json.RawMessage(`{"n":12345678901234567890}`), Batch: "night",
		Dropped: []string{"metadata"}, RequestedAt: at, SubmittedAt: at, FinishedAt: at, Attempts: 2,
		Runs:  []task.Run{{WorkflowID: "v", Code: task.StepLimit, SubmittedAt: at, FinishedAt: at, SessionID: "s1", Steps: steps, Credits: credits}},
		Polls: 3, UnnoticedMS: 4, SessionID: "s2", SessionEnded: new(false), Steps: steps, Credits: credits, Worker: "w1",
	}
	want, err := ev.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var read capstan.Event
	if err := json.Unmarshal(want, &read); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(got)); text != string(want) {
		t.Errorf("got %s\nwant %s", text, want)
	}
}

func TestTheClientsKnowAllCodes(t *testing.T) {
	var want []string
	for _, code := range task.Codes() {
		want = append(want, string(code))
	}
	slices.Sort(want)
	for file, section := range map[string]string{
		"../event.go": `(?s)later version may add some.*?\((.*?)\n\)`, "capstan.ts": `(?s)type Code =(.*?);`, "capstan.py": `(?s)Code = Literal\[(.*?)\n\]`,
	} {
		var got []string
		for _, word := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(sectionOf(t, file, section), -1) {
			got = append(got, word[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", file, got, want)
		}
	}
}

// same fails the test unless the members are the wanted ones.
func same(t *testing.T, name string, got, want kinds) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v\nwant %v", name, got, want)
	}
}

// kindOfField returns the kind that the value of a request's field must have, as the parser names it.
func kindOfField(t *testing.T, name string) string {
	t.Helper()
	kind := regexp.MustCompile(`must be (an? \w+) or left out`).FindStringSubmatch(refuse(t, delivery(fmt.Sprintf(`{%q:null}`, name))).Error())
	if kind == nil {
		t.Fatalf("%s: the parser does not say which kind it must be", name)
	}
	return kind[1]
}

// kindsOf returns the members of a type in Go.
func kindsOf(of reflect.Type) kinds {
	all := kinds{}
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "-" {
			all[name] = kindOf(field.Type)
		}
	}
	return all
}

func kindOf(value reflect.Type) string {
	if value.Kind() == reflect.Pointer {
		return kindOf(value.Elem())
	}
	switch {
	case value == reflect.TypeFor[json.RawMessage]():
		return "anything"
	case value == reflect.TypeFor[time.Time](), value == reflect.TypeFor[capstan.Duration](), value.Kind() == reflect.String:
		return "a string"
	case value.Kind() == reflect.Bool:
		return "a boolean"
	case value.Kind() == reflect.Map, value.Kind() == reflect.Struct:
		return "an object"
	case value.Kind() == reflect.Slice:
		return "an array"
	default:
		return "a number"
	}
}

// kindsIn returns the members of a type in a file of another language.
func kindsIn(t *testing.T, file, section string) kinds {
	t.Helper()
	all := kinds{}
	for _, m := range regexp.MustCompile(`(\w+)"?\??: (?:(?:NotRequired|Required)\[)?("?\w+\|?)(\[\])?`).FindAllStringSubmatch(sectionOf(t, file, section), -1) {
		switch {
		case m[3] != "", m[2] == "list":
			all[m[1]] = "an array"
		case m[2] == "string", m[2] == "str", m[2] == "Code", m[2] == "Literal", m[2][0] == '"':
			all[m[1]] = "a string"
		case m[2] == "boolean", m[2] == "bool":
			all[m[1]] = "a boolean"
		case m[2] == "number", m[2] == "int", m[2] == "float":
			all[m[1]] = "a number"
		case m[2] == "unknown", m[2] == "Any":
			all[m[1]] = "anything"
		default:
			all[m[1]] = "an object"
		}
	}
	return all
}

// sectionOf returns the part of a client's file that a pattern captures.
func sectionOf(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile("../../clients/" + file)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
	if section == nil {
		t.Fatalf("%s has no part like %s", file, pattern)
	}
	return section[1]
}
