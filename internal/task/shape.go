package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a request. They are far above what a task needs, and bound what one message can cost.
const (
	maxRequest = 4 << 20 // bytes. A request is in memory until it is submitted
	maxDepth   = 100     // objects and arrays inside one another
	maxNumber  = 400     // bytes of a number's literal, and its largest exponent either way
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
	w := walk{dec: newDecoder(data)}
	for literal := range literals(w.dec) {
		if err := w.check(literal); err != nil {
			return err
		}
	}
	return nil
}

// walk is the way through the brackets and literals of a JSON value.
type walk struct {
	dec   *jsontext.Decoder
	top   string                // the outermost member that it is in
	names []map[string]struct{} // of the objects that it is in, by their depth; see distinctText
}

// check checks what was just read: a literal, or nil for a bracket.
func (w *walk) check(literal jsontext.Value) error {
	depth := w.dec.StackDepth()
	switch {
	case literal == nil && depth > maxDepth:
		return &violation{field: w.top, rule: fmt.Sprintf("must not be nested more than %d levels deep", maxDepth)}
	case literal == nil:
		for len(w.names) <= depth {
			w.names = append(w.names, nil)
		}
		clear(w.names[depth+1:]) // an object may have ended
	case literal.Kind() == '0' && !isLegalNumber(string(literal)):
		return w.illegalNumber(string(literal))
	case literal.Kind() == '"' && lastWasName(w.dec):
		return w.checkName(distinctText(literal), depth)
	}
	return nil
}

func (w *walk) illegalNumber(literal string) error {
	if w.top == secretValues {
		literal = "" // it may be a secret, of the wrong type
	}
	rule := fmt.Sprintf("must have only numbers that fit into a float64, written in at most %d characters", maxNumber)
	return &violation{field: w.top, rule: rule, got: literal}
}

// checkName refuses a name that its object has twice. Depth counts the objects and arrays around it.
func (w *walk) checkName(name string, depth int) error {
	if depth == 1 {
		w.top = showHalves(name)
	}
	if w.names[depth] == nil {
		w.names[depth] = map[string]struct{}{}
	}
	_, twice := w.names[depth][name]
	w.names[depth][name] = struct{}{}
	switch {
	case !twice:
		return nil
	case depth == 1:
		return &violation{field: w.top, rule: "is given twice"}
	case w.top == secretValues: // the name may be a secret, by mistake
		return &violation{field: w.top, rule: "must not have a name twice"}
	default:
		return &violation{field: w.top, rule: "must not have a name twice", detail: showHalves(name)}
	}
}
