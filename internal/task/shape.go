package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a request. They are far above what a task needs, and keep what one message can cost small.
const (
	maxRequest = 4 << 20 // bytes. A request is held in memory until it is submitted
	maxDepth   = 100     // objects and arrays inside one another
	maxNumber  = 400     // bytes of a number's literal, and its largest exponent either way
)

// fault is a broken rule, before it is fit to be shown: what came with the request can be long, or a
// secret. The rule is always in our own words.
type fault struct {
	field  string // empty for the request as a whole
	holds  string // the offending text, where showing it helps
	rule   string // what is wrong or what would do
	detail string // more of it, in words that may quote the request
}

func (f *fault) Error() string { return f.field + ": " + f.rule }

// checkShape refuses bytes that are not one JSON object, and JSON that two readers could understand
// differently or that would cost its reader too much: names that come twice, text that is not UTF-8,
// deep nesting, and numbers that a float64 cannot hold. encoding/json lets all of these pass.
func checkShape(data []byte) error {
	switch {
	case len(data) > maxRequest:
		return &fault{rule: fmt.Sprintf("is %d bytes long; at most %d are read", len(data), maxRequest)}
	case len(bytes.TrimSpace(data)) == 0:
		return &fault{rule: "is empty; give a JSON object"}
	case !utf8.Valid(data):
		return &fault{rule: "is not valid UTF-8"}
	}
	if err := checkSyntax(data); err != nil {
		return &fault{rule: "is not JSON", detail: err.Error()}
	}
	if kind := kindOf(data); kind != "an object" {
		return &fault{rule: "is " + kind + "; give a JSON object"}
	}
	return checkTokens(data)
}

// checkSyntax returns why data is not exactly one JSON value, with the place.
func checkSyntax(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w, at byte %d", err, syntax.Offset)
	}
	return err
}

// checkTokens walks through a JSON value for names that come twice, deep nesting and outlandish numbers.
func checkTokens(data []byte) error {
	w := walk{dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	return w.value(0)
}

// walk is a way through the tokens of a JSON value.
type walk struct {
	dec *json.Decoder
	top string // the outermost member it is in
}

func (w *walk) value(depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return &fault{field: w.top, rule: "is not JSON", detail: err.Error()}
	}
	switch t := token.(type) {
	case json.Number:
		if !legalNumber(string(t)) {
			return w.fault(string(t), "give a number that fits a float64, in a literal of ordinary length")
		}
	case json.Delim:
		if depth == maxDepth {
			return w.fault("", fmt.Sprintf("is nested more than %d levels deep", maxDepth))
		}
		return w.container(t == '{', depth+1)
	}
	return nil
}

func (w *walk) container(object bool, depth int) error {
	seen := map[string]bool{}
	for w.dec.More() {
		if object {
			if err := w.name(seen, depth); err != nil {
				return err
			}
		}
		if err := w.value(depth); err != nil {
			return err
		}
	}
	if _, err := w.dec.Token(); err != nil {
		return &fault{field: w.top, rule: "is not JSON", detail: err.Error()}
	}
	return nil
}

func (w *walk) name(seen map[string]bool, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return &fault{field: w.top, rule: "is not JSON", detail: err.Error()}
	}
	name, _ := token.(string)
	if depth == 1 {
		w.top = name
	}
	switch {
	case !seen[name]:
		seen[name] = true
		return nil
	case depth == 1:
		return &fault{field: name, rule: "is given twice; give it once"}
	case w.top == secretValues:
		return w.fault("", "has a name twice; give each once")
	default:
		return &fault{field: w.top, rule: "has a name twice; give each once", detail: name}
	}
}

// fault is a breach inside the outermost member, of which secret_values is never quoted.
func (w *walk) fault(holds, rule string) error {
	if w.top == secretValues {
		holds = ""
	}
	return &fault{field: w.top, holds: holds, rule: rule}
}

// legalNumber reports whether a JSON number fits a float64 and is written in a way that exact arithmetic
// can afford: the schema validator computes 10 to the power of any exponent it meets.
func legalNumber(literal string) bool {
	if len(literal) > maxNumber {
		return false
	}
	if at := strings.IndexAny(literal, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(literal[at+1:])
		if err != nil || max(exponent, -exponent) > maxNumber {
			return false
		}
	}
	_, err := strconv.ParseFloat(literal, 64)
	return err == nil
}

// member is a name of a JSON object with its value, as it came.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of a JSON object in their order, or nothing where raw is no object.
func members(raw []byte) []member {
	if kindOf(raw) != "an object" || !json.Valid(raw) {
		return nil
	}
	var all []member
	dec := json.NewDecoder(bytes.NewReader(raw))
	for token, err := dec.Token(); err == nil && dec.More(); {
		m := member{}
		if token, err = dec.Token(); err == nil {
			m.name, _ = token.(string)
			err = dec.Decode(&m.value)
			all = append(all, m)
		}
	}
	return all
}

// kindOf returns in words what kind of JSON value raw is, by its first byte.
func kindOf(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
