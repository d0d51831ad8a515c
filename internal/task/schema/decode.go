package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a JSON value.
const (
	maxDepth  = 1000 // objects and arrays inside one another
	maxNumber = 400  // bytes of a number's literal, and its largest exponent either way
)

// measure is what a JSON value takes before it is decoded.
type measure struct {
	length int // bytes of its text
	values int // all values in it, itself included
	depth  int // objects and arrays inside one another
	bytes  int // about what it takes in memory when it is decoded
}

// Sizes of decoded values, as Go 1.26 lays them out.
const (
	boxSize    = 16  // an interface, and what one points to where that is a string or a number
	sliceSize  = 24  //
	smallMap   = 344 // with up to eight members
	memberSize = 80  // of a larger one
)

// measureJSON measures a JSON value without decoding it. The error says why no schema can be checked against it.
func measureJSON(raw []byte) (measure, error) {
	in := measure{length: len(raw), bytes: len(raw)}
	dec := newDecoder(raw)
	for {
		if err := in.next(dec); err != nil {
			return measure{}, err
		}
		if dec.StackDepth() == 0 {
			return in, nil
		}
	}
}

// next measures the next value or the next end of one.
func (in *measure) next(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '{', '[':
		in.values++
	case '}', ']':
		kind, length := dec.StackIndex(dec.StackDepth())
		in.bytes += sizeOf(kind, int(length))
	default:
		return in.scalar(dec)
	}
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	if in.depth = max(in.depth, dec.StackDepth()); in.depth > maxDepth {
		return fmt.Errorf("it is nested more than %d levels deep", maxDepth)
	}
	return nil
}

// sizeOf returns about what an object or array takes that has so many names and values.
func sizeOf(kind jsontext.Kind, length int) int {
	switch {
	case kind == '[':
		return sliceSize + 2*boxSize*length // the second is there while it is decoded
	case length <= 16:
		return smallMap
	default:
		return smallMap + memberSize*length/2
	}
}

func (in *measure) scalar(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return notJSON(err)
	}
	in.values++
	switch value.Kind() {
	case '0':
		in.bytes += boxSize
		if !legalNumber(value) {
			return fmt.Errorf("the number %s does not fit a float64", shorten(string(value)))
		}
	case '"':
		in.bytes += boxSize
		if !isVerbatim(value) {
			in.bytes += 3 * len(value) // U+FFFD takes three bytes
		}
	}
	return nil
}

// legalNumber reports whether a JSON number fits a float64 and is written in a way that exact arithmetic can afford:
// the validator computes 10 to the power of any exponent it meets.
func legalNumber(literal []byte) bool {
	if len(literal) > maxNumber {
		return false
	}
	if at := bytes.IndexAny(literal, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(string(literal[at+1:]))
		if err != nil || max(exponent, -exponent) > maxNumber {
			return false
		}
	}
	_, err := strconv.ParseFloat(string(literal), 64)
	return err == nil
}

// isVerbatim reports whether a JSON string stands for the very bytes between its quotes.
func isVerbatim(literal []byte) bool {
	return bytes.IndexByte(literal, '\\') < 0 && utf8.Valid(literal)
}

func newDecoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func notJSON(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("it is not JSON: %w, at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

// shorten returns the begin of a text, for an error.
func shorten(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// decoder turns a JSON value into what the validator takes. Numbers, strings and names are parts of the one text.
type decoder struct {
	*jsontext.Decoder
	text  string
	items []any // of the arrays that are being read
}

// decodeJSON decodes a value that was measured.
func decodeJSON(raw []byte) (any, error) {
	d := &decoder{Decoder: newDecoder(raw), text: string(raw)}
	return d.value()
}

func (d *decoder) value() (any, error) {
	switch d.PeekKind() {
	case '{':
		return d.object()
	case '[':
		return d.array()
	}
	value, err := d.ReadValue()
	if err != nil {
		return nil, notJSON(err)
	}
	switch value.Kind() {
	case '"':
		return d.string(value), nil
	case '0':
		end := int(d.InputOffset())
		return json.Number(d.text[end-len(value) : end]), nil
	case 't', 'f':
		return value.Kind() == 't', nil
	default:
		return nil, nil
	}
}

// string returns the text of the JSON string that was just read.
func (d *decoder) string(literal []byte) string {
	end := int(d.InputOffset())
	if isVerbatim(literal) {
		return d.text[end-len(literal)+1 : end-1]
	}
	text, _ := jsontext.AppendUnquote(nil, literal) // the error only tells of bytes that are not UTF-8
	return string(text)
}

func (d *decoder) object() (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	object := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		key := d.string(name)
		if object[key], err = d.value(); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return object, err
}

func (d *decoder) array() (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	from := len(d.items)
	for d.PeekKind() != ']' {
		item, err := d.value()
		if err != nil {
			return nil, err
		}
		d.items = append(d.items, item)
	}
	items := slices.Clone(d.items[from:])
	d.items = d.items[:from]
	if items == nil {
		items = []any{}
	}
	_, err := d.ReadToken()
	return items, err
}

// countValues returns how many values a decoded value has, itself included.
func countValues(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, each := range v {
			n += countValues(each)
		}
	case []any:
		for _, each := range v {
			n += countValues(each)
		}
	}
	return n
}
