package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	if kind := kindOf(data); kind != "an object" {
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

// checkTokens walks through a JSON value for names that come twice, deep nesting and outlandish numbers.
// The value has to be valid.
func checkTokens(data []byte) error {
	w := walk{tokens: tokens{data: data}}
	return w.value(w.next(), 0)
}

// walk is a way through the tokens of a JSON value.
type walk struct {
	tokens
	top   string   // the outermost member it is in
	names [][]byte // those of the objects it is in, as exact returns them
}

// value checks the value that begins with this token and stands inside so many objects and arrays.
func (w *walk) value(token []byte, depth int) error {
	switch {
	case isNumber(token[0]):
		if !legalNumber(string(token)) {
			return w.fault(string(token), "give a number that fits a float64, in a literal of ordinary length")
		}
	case token[0] == '{', token[0] == '[':
		if depth == maxDepth {
			return w.fault("", fmt.Sprintf("is nested more than %d levels deep", maxDepth))
		}
		if token[0] == '{' {
			return w.object(depth + 1)
		}
		return w.array(depth + 1)
	}
	return nil
}

func (w *walk) array(depth int) error {
	for token := w.next(); token[0] != ']'; token = w.next() {
		if err := w.value(token, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) object(depth int) error {
	outer := len(w.names)
	for token := w.next(); token[0] != '}'; token = w.next() {
		name := exact(token)
		if depth == 1 {
			w.top = shown(name)
		}
		w.names = append(w.names, name)
		if err := w.value(w.next(), depth); err != nil {
			return err
		}
	}
	own := w.names[outer:]
	w.names = w.names[:outer]
	slices.SortFunc(own, bytes.Compare)
	for i := range own {
		if i > 0 && bytes.Equal(own[i-1], own[i]) {
			return w.twice(own[i], depth)
		}
	}
	return nil
}

// twice is the breach of a name that an object has twice.
func (w *walk) twice(name []byte, depth int) error {
	switch {
	case depth == 1:
		return &fault{field: shown(name), rule: "is given twice; give it once"}
	case w.top == secretValues:
		return w.fault("", "has a name twice; give each once")
	default:
		return &fault{field: w.top, rule: "has a name twice; give each once", detail: shown(name)}
	}
}

// shown returns what exact returned as a text that can be shown.
func shown(name []byte) string { return strings.ReplaceAll(string(name), halfMark, `\u`) }

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
