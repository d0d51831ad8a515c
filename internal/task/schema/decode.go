package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	whole  int // about what it takes in memory when all of it is decoded
	most   int // about what it takes when of large parts only one after the other is
}

// Sizes of decoded values, as Go 1.26 lays them out.
const (
	boxSize    = 16  // an interface, and what it points to where that is a string or a number
	sliceSize  = 24  //
	emptyMap   = 48  //
	smallMap   = 344 // with up to eight members
	memberSize = 80  // of a larger one
)

// part is what is known of an object or array that is being measured, by the values that are complete in it.
type part struct{ from, whole, sum, most int }

// measureJSON measures a JSON value without decoding it. The error says why no schema can be checked against it.
func measureJSON(raw []byte) (measure, error) {
	in := measure{length: len(raw)}
	parts := []part{{}}
	dec := newDecoder(raw)
	for {
		done, err := in.next(dec, &parts)
		if err != nil {
			return measure{}, err
		}
		top := &parts[len(parts)-1]
		top.whole += done.whole
		top.sum += done.most
		top.most = max(top.most, done.most)
		if dec.StackDepth() == 0 {
			in.whole, in.most = len(raw)+done.whole, len(raw)+done.most
			return in, nil
		}
	}
}

// next measures the next value or the begin or end of one. It returns what is complete.
func (in *measure) next(dec *jsontext.Decoder, parts *[]part) (part, error) {
	kind, depth := dec.PeekKind(), dec.StackDepth()
	of, length := dec.StackIndex(depth)
	switch kind {
	case '{', '[', '}', ']':
		if _, err := dec.ReadToken(); err != nil {
			return part{}, notJSON(err)
		}
	default:
		return in.scalar(dec, of == '{' && length%2 == 0)
	}
	end := int(dec.InputOffset())
	if kind == '{' || kind == '[' {
		in.values++
		*parts = append(*parts, part{from: end - 1})
		if in.depth = max(in.depth, depth+1); in.depth > maxDepth {
			return part{}, fmt.Errorf("it is nested more than %d levels deep", maxDepth)
		}
		return part{}, nil
	}
	done := (*parts)[depth]
	*parts = (*parts)[:depth]
	own := sizeOf(of, int(length))
	if end-done.from <= eager {
		return part{whole: own + done.whole, most: own + done.sum}, nil
	}
	return part{whole: own + done.whole, most: own + boxSize*int(length) + done.most}, nil
}

// sizeOf returns about what an object or array takes that has so many names and values.
func sizeOf(kind jsontext.Kind, length int) int {
	switch {
	case kind == '[':
		return sliceSize + 2*boxSize*length // the second is there while it is decoded
	case length == 0:
		return emptyMap
	case length <= 16:
		return smallMap
	default:
		return smallMap + memberSize*length/2
	}
}

func (in *measure) scalar(dec *jsontext.Decoder, isName bool) (part, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return part{}, notJSON(err)
	}
	if !isName {
		in.values++
	}
	size := 0
	switch value.Kind() {
	case '0':
		size = boxSize
		if !legalNumber(value) {
			return part{}, fmt.Errorf("the number %s does not fit a float64", shorten(string(value)))
		}
	case '"':
		size = boxSize
		if !isVerbatim(value) {
			size += 3 * len(value) // U+FFFD takes three bytes
		}
	default: // null, true and false are part of the interface
	}
	return part{whole: size, most: size}, nil
}

// legalNumber reports whether a JSON number fits a float64 and is written in a way that exact arithmetic can afford:
// the validator computes 10 to the power of any exponent it meets.
func legalNumber(literal []byte) bool {
	if len(literal) > maxNumber {
		return false
	}
	if len(literal) < 16 && !bytes.ContainsAny(literal, "eE") {
		return true
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

// eager is the size of an object or array, in bytes of its text, up to which all of it is decoded at once. Of a larger
// one the objects and arrays in it are decoded when they are checked, one after the other: decoded, a value can take
// fifty times its text.
const eager = 64 << 10

// undecoded is an object or array that is not decoded yet: a part of the text.
type undecoded struct{ from, to int }

// decoder turns a JSON value into what the validator takes. Numbers, strings and names are parts of the one text.
type decoder struct {
	*jsontext.Decoder
	meter *meter
	raw   []byte
	text  string
	base  int   // where in the text the decoder began
	items []any // of the arrays that are being read
	lazy  bool
}

func newInstance(raw []byte, m *meter, lazy bool) *decoder {
	return &decoder{Decoder: newDecoder(nil), meter: m, raw: raw, text: string(raw), lazy: lazy}
}

// decodeJSON decodes all of a value that was measured.
func decodeJSON(raw []byte, m *meter) (any, error) {
	return newInstance(raw, m, false).decode(undecoded{0, len(raw)})
}

// resolve returns a value that may be undecoded. The text was read before: it panics where it is no JSON.
func (d *decoder) resolve(v any) any {
	part, ok := v.(undecoded)
	if !ok {
		return v
	}
	value, err := d.decode(part)
	if err != nil {
		panic(err)
	}
	return value
}

// decode decodes a part of the text: all of it, or of a large one the first level.
func (d *decoder) decode(part undecoded) (any, error) {
	d.meter.spend(1 + (part.to-part.from)/64)
	d.base = part.from
	d.Reset(bytes.NewBuffer(d.raw[part.from:part.to]), d.Options())
	return d.value(!d.lazy || part.to-part.from <= eager)
}

func (d *decoder) value(all bool) (any, error) {
	switch d.PeekKind() {
	case '{':
		return d.object(all)
	case '[':
		return d.array(all)
	default:
		return d.scalar()
	}
}

func (d *decoder) scalar() (any, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, notJSON(err)
	}
	switch value.Kind() {
	case '"':
		return d.string(value), nil
	case '0':
		return json.Number(d.text[d.end()-len(value) : d.end()]), nil
	case 't', 'f':
		return value.Kind() == 't', nil
	default:
		return nil, nil
	}
}

// end is where in the text that ends which was read last.
func (d *decoder) end() int { return d.base + int(d.InputOffset()) }

// string returns the text of the JSON string that was just read.
func (d *decoder) string(literal []byte) string {
	if isVerbatim(literal) {
		return d.text[d.end()-len(literal)+1 : d.end()-1]
	}
	text, _ := jsontext.AppendUnquote(nil, literal) // the error only tells of bytes that are not UTF-8
	return string(text)
}

// child decodes a value inside another one, or leaves it undecoded.
func (d *decoder) child(all bool) (any, error) {
	if kind := d.PeekKind(); all || kind != '{' && kind != '[' {
		return d.value(all)
	}
	value, err := d.ReadValue()
	if err != nil {
		return nil, notJSON(err)
	}
	return undecoded{d.end() - len(value), d.end()}, nil
}

func (d *decoder) object(all bool) (any, error) {
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
		if object[key], err = d.child(all); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return object, err
}

func (d *decoder) array(all bool) (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	from := len(d.items)
	for d.PeekKind() != ']' {
		item, err := d.child(all)
		if err != nil {
			return nil, err
		}
		d.items = append(d.items, item)
	}
	items := append(make([]any, 0, len(d.items)-from), d.items[from:]...)
	clear(d.items[from:])
	if d.items = d.items[:from]; cap(d.items) > eager {
		d.items = nil
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
