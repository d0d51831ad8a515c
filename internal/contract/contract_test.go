package contract_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract"
	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	folder   = "../../api"
	messages = "../../docs/messages.md"
)

type document = contract.Document

// schemas returns the documents that are schemas.
func schemas() []document {
	return slices.DeleteFunc(contract.Documents(), func(d document) bool { return d.Name == contract.AsyncAPI })
}

func TestTheFilesAreWhatTheCodeSays(t *testing.T) {
	var want []string
	for _, each := range contract.Documents() {
		path := filepath.Join(folder, each.File)
		want = append(want, path)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, each.Text) {
			t.Errorf("%s is not what the code says (%v); run: make api", path, err)
		}
	}
	slices.Sort(want)
	if got, err := filepath.Glob(filepath.Join(folder, "*.json")); err != nil || !slices.Equal(got, want) {
		t.Errorf("got the files %v, %v, want %v", got, err, want)
	}
}

// object is a part of a schema.
type object = map[string]any

func parse(t *testing.T, text []byte) (parsed object) {
	t.Helper()
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestEachSchemaIsComplete holds what every schema has, for people and for programs that choose a schema by its id.
func TestEachSchemaIsComplete(t *testing.T) {
	for _, each := range schemas() {
		parsed := parse(t, each.Text)
		if got, want := parsed["$schema"], "https://json-schema.org/draft/2020-12/schema"; got != want {
			t.Errorf("%s: got the dialect %v, want %s", each.Name, got, want)
		}
		if got, want := parsed["$id"], "urn:capstan:schema:"+each.Name+":1"; got != want {
			t.Errorf("%s: got the id %v, want %s", each.Name, got, want)
		}
		if parsed["title"] != each.Title || each.Title == "" || parsed["description"] == nil {
			t.Errorf("%s: got the title %v and the description %v, want both", each.Name, parsed["title"], parsed["description"])
		}
		examples := examplesOf(t, each)
		if len(examples) == 0 {
			t.Errorf("%s has no example", each.Name)
		}
		schema := contracttest.Load(each.Name)
		for _, example := range examples {
			if err := schema.Check([]byte(example)); err != nil {
				t.Errorf("%s: its example %s does not fit: %v", each.Name, example, err)
			}
		}
		eachProperty(parsed, each.Name, func(path string, property object) {
			if text, _ := property["description"].(string); !strings.HasSuffix(text, ".") {
				t.Errorf("%s: got the description %q, want a sentence", path, text)
			}
		})
	}
}

// examplesOf returns the examples of a schema as texts.
func examplesOf(t *testing.T, schema document) (texts []string) {
	t.Helper()
	all, _ := parse(t, schema.Text)["examples"].([]any)
	for _, each := range all {
		text, err := json.Marshal(each)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// eachProperty calls f with each described member of a schema, at any depth.
func eachProperty(schema object, path string, f func(path string, property object)) {
	properties, _ := schema["properties"].(object)
	for name, value := range properties {
		property, _ := value.(object)
		f(path+"."+name, property)
		eachProperty(property, path+"."+name, f)
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		if inside, ok := schema[keyword].(object); ok {
			eachProperty(inside, path, f)
		}
	}
	all, _ := schema["anyOf"].([]any)
	for _, each := range all {
		if inside, ok := each.(object); ok {
			eachProperty(inside, path, f)
		}
	}
}

func TestTheHeaderOfAnEventNamesItsSchema(t *testing.T) {
	for _, each := range schemas() {
		if id := parse(t, each.Text)["$id"]; (each.Name == "event") != (id == task.EventSchemaID) {
			t.Errorf("%s has the id %v, and ce-dataschema is %s", each.Name, id, task.EventSchemaID)
		}
	}
}

func TestDocumentsAreTheSameOnEveryCall(t *testing.T) {
	for i, each := range contract.Documents() {
		if again := contract.Documents()[i]; again.Name != each.Name || !bytes.Equal(again.Text, each.Text) {
			t.Errorf("%s differs from one call to the next", each.Name)
		}
		for _, char := range each.Text {
			if char >= 0x7f {
				t.Fatalf("%s: got the byte %x, want ASCII", each.Name, char)
			}
		}
	}
}
