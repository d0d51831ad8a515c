package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/jsonschema"
	"github.com/capstan-worker/capstan/internal/task"
)

// row is a row of a table in docs/messages.md: the names in its first cell, and its last cell as plain text.
type row struct {
	names []string
	text  string
}

// table returns the rows of the first table after a heading.
func table(t *testing.T, heading string) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(messages)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	_, section, hasTable := strings.Cut(section, "\n| --- |")
	if !found || !hasTable {
		t.Fatalf("%s has no table after %s", messages, heading)
	}
	section, _, _ = strings.Cut(section, "\n\n")
	for _, line := range strings.Split(section, "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		var names []string
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
			names = append(names, name[1])
		}
		rows = append(rows, row{names, plain(cells[len(cells)-1])})
	}
	return rows
}

// plain returns Markdown as plain text: without the targets of links and without marks of code.
func plain(markdown string) string {
	text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(markdown, "$1")
	return strings.ReplaceAll(text, "`", "")
}

// The tables for people and the descriptions for programs are the same sentences.
func TestTheDocumentsSayTheSameOfEachField(t *testing.T) {
	for heading, name := range map[string]string{"## Request": "request", "## Event": "event", "## Record": "record"} {
		described := map[string]string{}
		i := slices.IndexFunc(schemas(), func(d document) bool { return d.Name == name })
		properties, _ := parse(t, schemas()[i].Text)["properties"].(object)
		for field, value := range properties {
			property, _ := value.(object)
			described[field], _ = property["description"].(string)
		}
		for _, row := range table(t, heading) {
			for _, field := range row.names {
				if want := jsonschema.Sentence(row.text); described[field] != want {
					t.Errorf("%s.%s: the schema says %q, and docs/messages.md %q", name, field, described[field], want)
				}
				delete(described, field)
			}
		}
		for field := range described {
			t.Errorf("%s.%s has no row in docs/messages.md", name, field)
		}
	}
}

func TestTheDocumentsNameEachHeader(t *testing.T) {
	for heading, message := range map[string]string{"### Headers of an event": "event", "## Dead letter": "deadLetter"} {
		var got []string
		for _, row := range table(t, heading) {
			got = append(got, row.names...)
		}
		_, want := contracttest.LoadHeaders(message)
		for _, name := range want {
			// Of a dead letter, the id is only for the stream; a request's own headers have a prefix that is no name.
			if !slices.Contains(got, name) && (message != "deadLetter" || name != "Nats-Msg-Id") {
				t.Errorf("%s: docs/messages.md does not name the header %s", message, name)
			}
		}
		for _, name := range got {
			if !slices.Contains(want, name) && !strings.Contains(name, "…") && !strings.HasSuffix(name, "-") {
				t.Errorf("%s: the contract does not name the header %s", message, name)
			}
		}
	}
}

// The requests, events and control values in the documents fit exactly if they are read.
func TestExamplesInTheDocumentsFit(t *testing.T) {
	found := map[string]int{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../k8s/*.md", "../../api/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: got %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range objects(string(text)) {
				if kind := kindOf(value); kind != "" {
					found[kind]++
					checkExample(t, file, kind, value)
				}
			}
		}
	}
	for kind, least := range map[string]int{"request": 6, "event": 2, "pause": 1, "cancel": 1} {
		if found[kind] < least {
			t.Errorf("got %d examples of %s, want %d at least", found[kind], kind, least)
		}
	}
}

// objects returns the outermost JSON objects in a text.
func objects(text string) (all []json.RawMessage) {
	for {
		begin := strings.IndexByte(text, '{')
		if begin < 0 {
			return all
		}
		var value json.RawMessage
		dec := json.NewDecoder(strings.NewReader(text[begin:]))
		if dec.Decode(&value) != nil {
			text = text[begin+1:]
			continue
		}
		all = append(all, value)
		text = text[begin+int(dec.InputOffset()):]
	}
}

// kindOf returns the name of the schema that an object in a document is meant for, or "".
func kindOf(value json.RawMessage) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(value, &members) // it is an object
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return members[name] == nil })
	}
	switch {
	case has("prompt"):
		return "request"
	case has("status", "worker"):
		return "event"
	case has("reason", "until"):
		return "pause"
	case has("reason", "by"):
		return "cancel"
	default:
		return ""
	}
}

func checkExample(t *testing.T, file, kind string, value json.RawMessage) {
	t.Helper()
	schema := contracttest.Load(kind)
	if kind == "request" {
		_, err := task.ParseRequest(task.Delivery{Stream: "TASKS", Seq: 1, Data: value}, task.Defaults{Timeout: time.Hour})
		schema.Agree(t, value, err)
		return
	}
	if misfit := schema.Check(value); misfit != nil {
		t.Errorf("%s: %s does not fit the schema of %s: %v", file, value, kind, misfit)
	}
}
