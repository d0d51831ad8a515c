package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// newDecoder is lenient like encoding/json: names may be repeated, and strings need not be valid UTF-8. It
// reads from raw without copying it, because the decoder knows bytes.Buffer.
func newDecoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// notJSON puts a syntax error into words, with its place in bytes.
func notJSON(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("it is not JSON: %w, at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

// shorten returns a text for an error: the first 80 bytes and an ellipsis if it is longer.
func shorten(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// eager is the largest object or array, in bytes of its text, that is decoded at once. The objects and arrays in a larger one
// are decoded when they are checked, one after the other, because a decoded value can take fifty times its text.
const eager = 64 << 10

// undecoded stands for an object or array that is not decoded yet: a part of the text. from and to are
// offsets in decoder.text; the byte at to is not a part of it.
type undecoded struct{ from, to int }

// decoder decodes a JSON value for the validator. Numbers, strings and names share the memory of the text.
// Only one goroutine may use it.
type decoder struct {
	*jsontext.Decoder
	meter *meter
	// The same text twice: jsontext reads bytes, and the values are parts of a string.
	raw  []byte
	text string
	base int // index in text where the current decoding began
	// The items of all arrays that are being read, those of the innermost at the end. The memory is used
	// again.
	items []any
	// Leave the objects and arrays in large ones undecoded.
	lazy bool
}

// newInstance returns a decoder for a value. A lazy one leaves parts of a large value undecoded.
func newInstance(raw []byte, m *meter, lazy bool) *decoder {
	return &decoder{Decoder: newDecoder(nil), meter: m, raw: raw, text: string(raw), lazy: lazy}
}

// decodeJSON decodes a value that was measured, at once.
func decodeJSON(raw []byte, m *meter) (any, error) {
	return newInstance(raw, m, false).decode(undecoded{0, len(raw)})
}

// resolve decodes a value if it is undecoded. It panics if the text is not JSON, which was checked before.
// compile and check recover.
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

// decode decodes a part of the text. Of a large part it decodes only the first level if d is lazy.
func (d *decoder) decode(part undecoded) (any, error) {
	// A part is decoded again for each subschema that looks inside, because nothing keeps the values.
	d.meter.spend(1 + (part.to-part.from)/64)
	d.base = part.from
	d.Reset(bytes.NewBuffer(d.raw[part.from:part.to]), d.Options())
	return d.value(!d.lazy || part.to-part.from <= eager)
}

// value decodes the next value. Unless all is set, it leaves objects and arrays in it undecoded.
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

// scalar decodes a string, number, boolean or null. A number stays a json.Number, so that no digit is lost.
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

// end returns where in the text the last token ends.
func (d *decoder) end() int { return d.base + int(d.InputOffset()) }

// string returns the meaning of the JSON string that was read last.
func (d *decoder) string(literal []byte) string {
	if isVerbatim(literal) {
		return d.text[d.end()-len(literal)+1 : d.end()-1]
	}
	// The only error is for invalid UTF-8, which becomes U+FFFD.
	text, _ := jsontext.AppendUnquote(nil, literal)
	return string(text)
}

// child decodes a value in an object or array. Unless all is set, it leaves objects and arrays undecoded.
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

// object decodes an object. If a name is repeated, the last member counts, as with encoding/json.
func (d *decoder) object(all bool) (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	object := map[string]any{}
	// A syntax error does not end the loop by itself: the next read returns it.
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

// array decodes an array. It collects the items of all nested arrays in d.items, to allocate each array only once.
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
	clear(d.items[from:]) // so that the values can be freed
	if d.items = d.items[:from]; cap(d.items) > eager {
		d.items = nil // do not keep the memory of the largest array
	}
	_, err := d.ReadToken()
	return items, err
}

// countValues returns the number of JSON values in a decoded value, including itself. It must not have
// undecoded parts.
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
