package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

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
