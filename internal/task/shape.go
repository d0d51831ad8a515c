package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a request. They are far above what a task needs, and keep what one message can cost small.
const (
	maxRequest = 4 << 20 // bytes. A request is held in memory until it is submitted
	maxDepth   = 100     // objects and arrays inside one another
	maxNumber  = 400     // bytes of a number's literal, and its largest exponent either way
)

// checkShape refuses bytes that are not one JSON object, and JSON that two readers could understand
// differently or that would cost its reader too much: names that come twice, text that is not UTF-8,
// deep nesting, and numbers that a float64 cannot hold, such as 1e400. encoding/json lets all of these pass.
func checkShape(data []byte) error {
	switch {
	case len(data) > maxRequest:
		return &fault{rule: fmt.Sprintf("is %d bytes long; at most %d are read", len(data), maxRequest)}
	case len(bytes.TrimSpace(data)) == 0:
		return &fault{rule: "is empty; give a JSON object"}
	case !utf8.Valid(data):
		return &fault{rule: "is not valid UTF-8"}
	}
	if !json.Valid(data) {
		return &fault{rule: "is not JSON", detail: syntaxError(data)}
	}
	if kind := kindName(data); kind != "an object" {
		return &fault{rule: "is " + kind + "; give a JSON object"}
	}
	return checkTokens(data)
}

// syntaxError says why data is not exactly one JSON value, with the place.
func syntaxError(data []byte) string {
	err := json.Unmarshal(data, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%v, at byte %d", err, syntax.Offset)
	}
	return err.Error()
}

// checkTokens refuses names that come twice, deep nesting and numbers of no use in a value that is JSON.
func checkTokens(data []byte) error {
	w := walk{dec: newDecoder(data)}
	for {
		literal, err := readLiteral(w.dec)
		if err != nil {
			return nil // the end
		}
		if err := w.check(literal); err != nil {
			return err
		}
	}
}

// walk is a way through the brackets and literals of a JSON value.
type walk struct {
	dec   *jsontext.Decoder
	top   string                // the outermost member it is in
	names []map[string]struct{} // of the objects it is in, by their depth; see distinctText
}

// check checks what was just read: a literal, or nil for a bracket.
func (w *walk) check(literal jsontext.Value) error {
	depth := w.dec.StackDepth()
	switch {
	case literal == nil && depth > maxDepth:
		return w.fault("", fmt.Sprintf("is nested more than %d levels deep", maxDepth))
	case literal == nil:
		for len(w.names) <= depth {
			w.names = append(w.names, nil)
		}
		clear(w.names[depth+1:]) // an object that has ended
	case literal.Kind() == '0' && !isLegalNumber(string(literal)):
		return w.fault(string(literal), "give a number that fits a float64, in a literal of ordinary length")
	case literal.Kind() == '"' && lastWasName(w.dec):
		return w.checkName(distinctText(literal), depth)
	}
	return nil
}

// checkName refuses a name that its object, which is inside so many others, has twice.
func (w *walk) checkName(name string, depth int) error {
	if depth == 1 {
		w.top = showHalves(name)
	}
	if w.names[depth] == nil {
		w.names[depth] = map[string]struct{}{}
	}
	if _, twice := w.names[depth][name]; !twice {
		w.names[depth][name] = struct{}{}
		return nil
	}
	switch {
	case depth == 1:
		return &fault{field: w.top, rule: "is given twice; give it once"}
	case w.top == secretValues:
		return w.fault("", "has a name twice; give each once")
	default:
		return &fault{field: w.top, rule: "has a name twice; give each once", detail: showHalves(name)}
	}
}

// fault is a breach inside the outermost member, of which secret_values is never quoted.
func (w *walk) fault(holds, rule string) error {
	if w.top == secretValues {
		holds = ""
	}
	return &fault{field: w.top, holds: holds, rule: rule}
}
