package jsonschema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

func format(t *testing.T, value any) string {
	t.Helper()
	text, err := jsonschema.Format(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestASchemaIsWrittenForPeople(t *testing.T) {
	s := &jsonschema.Schema{
		Examples: []json.RawMessage{json.RawMessage(`["a , b","[ <é\u2028",{"c":1.0}]`)}, Minimum: new(int64(0)), Title: "T", Type: "object",
		Properties: jsonschema.Properties{{Name: "z", Schema: &jsonschema.Schema{Enum: []string{"b  b", "a"}}}, {Name: "<a>", Schema: &jsonschema.Schema{}}},
		Required:   []string{"z"}, AdditionalProperties: false,
	}
	const want = `{
  "title": "T",
  "type": "object",
  "minimum": 0,
  "required": ["z"],
  "properties": {
    "z": {
      "enum": ["b  b", "a"]
    },
    "<a>": {}
  },
  "additionalProperties": false,
  "examples": [
    [
      "a , b",
      "[ <\u00e9\u2028",
      {
        "c": 1.0
      }
    ]
  ]
}
`
	if got := format(t, s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := format(t, "𝄞\u007f"), "\"\\ud834\\udd1e\\u007f\"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := jsonschema.Format(json.RawMessage(`{`)); err == nil {
		t.Error("got no error for what is no JSON, want one")
	}
}

type inner struct {
	Text string `json:"text" desc:"of inner"`
}

type outer struct {
	ID     string          `json:"id" desc:"who"`
	Count  uint64          `json:"count,omitzero" desc:"how many."`
	Offset int             `json:"offset" desc:"how far"`
	Ratio  float64         `json:"ratio" desc:"how much"`
	Is     bool            `json:"is" desc:"whether"`
	At     time.Time       `json:"at,omitzero" desc:"when"`
	For    time.Duration   `json:"for" desc:"how long"`
	Any    json.RawMessage `json:"any,omitempty" desc:"anything"`
	One    *inner          `json:"one,omitempty" desc:"one"`
	All    []inner         `json:"all,omitempty" desc:"all"`
	Hidden string          `json:"-"`
}

func TestAStructHasTheSchemaOfItsJSON(t *testing.T) {
	s := jsonschema.Of[outer]()
	if got, want := strings.Join(s.Required, " "), "id offset ratio is for"; got != want {
		t.Errorf("required: got %s, want %s", got, want)
	}
	for name, want := range map[string]string{
		"id":     `{"description":"Who.","type":"string"}`,
		"count":  `{"description":"How many.","type":"integer","minimum":0}`,
		"offset": `{"description":"How far.","type":"integer"}`,
		"ratio":  `{"description":"How much.","type":"number"}`,
		"is":     `{"description":"Whether.","type":"boolean"}`,
		"at":     `{"description":"When.","type":"string","format":"date-time"}`,
		"for":    `{"description":"How long.","type":"integer"}`,
		"any":    `{"description":"Anything."}`,
		"one":    `{"description":"One.","type":"object","required":["text"],"properties":{"text":{"description":"Of inner.","type":"string"}}}`,
		"all":    `{"description":"All.","type":"array","items":{"type":"object","required":["text"],"properties":{"text":{"description":"Of inner.","type":"string"}}}}`,
	} {
		got, err := json.Marshal(s.Property(name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got  %s, %v\nwant %s", name, got, err, want)
		}
	}
	if len(s.Properties) != 10 {
		t.Errorf("got %d members, want 10", len(s.Properties))
	}
}

// Whoever adds a field without a description, or of a type that has no schema, finds out by the first test that runs.
func TestAFieldWithoutASchemaIsABug(t *testing.T) {
	for name, f := range map[string]func(){
		"no desc": func() {
			jsonschema.Of[struct {
				A int `json:"a"`
			}]()
		},
		"no name": func() {
			jsonschema.Of[struct {
				A int `desc:"a"`
			}]()
		},
		"a map": func() {
			jsonschema.Of[struct {
				A map[string]int `json:"a" desc:"a"`
			}]()
		},
		"no property": func() { jsonschema.Of[inner]().Property("other") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic, want one", name)
				}
			}()
			f()
		}()
	}
}
