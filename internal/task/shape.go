package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// Bounds of a request. They are far above what a task needs, and bound what one message can cost.
const (
	// In bytes. A request is in memory until it is submitted.
	maxRequest = 4 << 20
	// Objects and arrays inside one another.
	maxDepth = 100
)

// checkShape refuses bytes that are not one JSON object, and JSON that two readers could understand differently or that
// would cost its reader too much: names that come twice, text that is not UTF-8, deep nesting, and numbers that do not
// fit into a float64, such as 1e400. encoding/json lets all of these pass.
func checkShape(data []byte) error {
	switch {
	case len(data) > maxRequest:
		return &violation{rule: fmt.Sprintf("request must be at most %d bytes (got %d)", maxRequest, len(data))}
	case len(bytes.TrimSpace(data)) == 0:
		return &violation{rule: "request is empty; send a JSON object"}
	case !utf8.Valid(data):
		return &violation{rule: "request is not valid UTF-8"}
	case !json.Valid(data):
		return &violation{rule: "request is not JSON", detail: syntaxError(data)}
	case jsontext.Value(data).Kind() != '{':
		return &violation{rule: "request must be a JSON object (got " + kindName(data) + ")"}
	}
	return checkTokens(data)
}

// syntaxError says why data is not exactly one JSON value, and where.
func syntaxError(data []byte) string {
	err := json.Unmarshal(data, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%v, at byte %d", err, syntax.Offset)
	}
	return err.Error()
}

// checkTokens refuses names that come twice, deep nesting and numbers that are out of bounds. The value must be JSON.
//
// jsontext finds names that come twice, too, but to it all halves of surrogate pairs are the same name.
func checkTokens(data []byte) error {
	w := walk{data: data, dec: newDecoder(data), objects: []int{0}}
	for literal := range literals(w.dec) {
		if err := w.check(literal); err != nil {
			return err
		}
	}
	return nil
}

// walk is the way through the brackets and literals of a JSON value.
type walk struct {
	data    []byte
	dec     *jsontext.Decoder
	top     string   // the outermost member that it is in
	names   [][]byte // of the objects that it is in, from the outermost; see distinctText
	objects []int    // by the depth of an object or array: where its names begin
}

// check checks what was just read: a literal, or nil for a bracket.
func (w *walk) check(literal jsontext.Value) error {
	depth := w.dec.StackDepth()
	switch {
	case literal == nil && depth > maxDepth:
		return &violation{field: w.top, rule: fmt.Sprintf("must not be nested more than %d levels deep", maxDepth)}
	// An object or array begins.
	case literal == nil && depth == len(w.objects):
		w.objects = append(w.objects, len(w.names))
	// It ends.
	case literal == nil:
		return w.checkNames(depth + 1)
	case literal.Kind() == '0' && !schema.IsAffordable(literal):
		return w.illegalNumber(string(literal))
	case literal.Kind() == '"' && lastWasName(w.dec):
		end := w.dec.InputOffset()
		name := distinctText(w.data[end-int64(len(literal)) : end])
		if depth == 1 {
			w.top = showHalves(name)
		}
		w.names = append(w.names, name)
	}
	return nil
}

// illegalNumber returns the violation by a number. It shows the number unless that may be a secret of the
// wrong type.
func (w *walk) illegalNumber(literal string) error {
	if w.top == secretValues {
		literal = ""
	}
	rule := fmt.Sprintf("must have only numbers that fit into a float64, written in at most %d characters", schema.MaxNumber)
	return &violation{field: w.top, rule: rule, got: literal}
}

// checkNames refuses a name that the object or array which has just ended, at this depth, has twice. It drops its names.
func (w *walk) checkNames(depth int) error {
	begin := w.objects[depth]
	names := w.names[begin:]
	w.names, w.objects = w.names[:begin], w.objects[:depth]
	// Sorting needs no memory of its own, unlike a map of all names.
	slices.SortFunc(names, bytes.Compare)
	for i := 1; i < len(names); i++ {
		switch name := names[i]; {
		case !bytes.Equal(name, names[i-1]):
		case depth == 1:
			return &violation{field: showHalves(name), rule: "is given twice"}
		case w.top == secretValues: // the name may be a secret, by mistake
			return &violation{field: w.top, rule: "must not contain the same name twice"}
		default:
			return &violation{field: w.top, rule: "must not contain the same name twice", detail: showHalves(name)}
		}
	}
	return nil
}
