package contract_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract"
	"github.com/capstan-worker/capstan/test/node"
)

// The official parser reads the document, and has nothing to say about it.
func TestTheOfficialParserReadsTheAsyncAPIDocument(t *testing.T) {
	t.Parallel()
	cmd := node.Command(t.Context(), t, "testdata/asyncapi.mjs")
	document, err := filepath.Abs(filepath.Join(folder, contract.AsyncAPI+".json"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(cmd.Args, document)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	channels := 0
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "channel: ") {
			channels++
			continue
		}
		t.Errorf("the parser says: %s", line)
	}
	if channels != 10 || !strings.Contains(string(out), "channel: results tasks.result event\n") {
		t.Errorf("got %s, want 10 channels, with events on tasks.result", out)
	}
}

// A reader of the document needs no other file: the schemas in it are those of the files.
func TestTheAsyncAPIDocumentContainsTheSchemas(t *testing.T) {
	all := contract.Documents()
	document := parse(t, all[len(all)-1].Text)
	components, _ := document["components"].(object)
	embedded, _ := components["schemas"].(object)
	for _, each := range schemas() {
		want := parse(t, each.Text)
		delete(want, "$id")
		delete(want, "$schema")
		got, _ := embedded[each.Name].(object)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the document has another schema than %s", each.Name, each.File)
		}
	}
	if len(embedded) != len(schemas()) {
		t.Errorf("got %d schemas, want %d", len(embedded), len(schemas()))
	}
}

// AsyncAPI's own schemas are a superset of draft 7, and the files are draft 2020-12: a keyword that only one of them has
// would mean something to one kind of readers only.
func TestTheSchemasUseKeywordsOfBothDrafts(t *testing.T) {
	both := strings.Fields("$schema $id title description type const enum format pattern minLength maxLength minimum maximum " +
		"items minItems maxItems required properties additionalProperties propertyNames maxProperties allOf anyOf not if then else examples")
	for _, each := range schemas() {
		eachSchema(parse(t, each.Text), func(schema object) {
			for keyword := range schema {
				if !slices.Contains(both, keyword) {
					t.Errorf("%s: got the keyword %s, want one of both drafts", each.Name, keyword)
				}
			}
		})
	}
}

// eachSchema calls f with a schema and with all that are in it.
func eachSchema(schema object, f func(object)) {
	f(schema)
	var inside []any
	for keyword, value := range schema {
		switch value := value.(type) {
		case object:
			switch keyword {
			case "properties":
				for _, each := range value {
					inside = append(inside, each)
				}
			case "items", "additionalProperties", "propertyNames", "not", "if", "then", "else":
				inside = append(inside, value)
			}
		case []any:
			if keyword == "allOf" || keyword == "anyOf" {
				inside = append(inside, value...)
			}
		}
	}
	for _, each := range inside {
		if each, ok := each.(object); ok {
			eachSchema(each, f)
		}
	}
}
