package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// object is a JSON object that is being written, without reflection: three records and an event are written
// for each task. It comes out as json.Encoder writes it, without the escapes that only HTML needs.
type object struct{ b []byte }

// newObject begins an object of about that many bytes.
func newObject(size int) *object { return &object{b: make([]byte, 0, size)} }

// name begins a member. It needs no escapes.
func (o *object) name(name string) {
	begin := byte(',')
	if len(o.b) == 0 {
		begin = '{'
	}
	o.b = append(o.b, begin, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = appendQuoted(o.b, value, false)
}

func (o *object) number(name string, value uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, value, 10)
}

func (o *object) integer(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

// moment writes a time, whose year has four digits.
func (o *object) moment(name string, value time.Time) {
	o.name(name)
	o.b = append(o.b, '"')
	o.b = append(value.AppendFormat(o.b, time.RFC3339Nano), '"')
}

// optionalText writes a text that is not empty.
func (o *object) optionalText(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

// optionalInteger writes a number that is not 0.
func (o *object) optionalInteger(name string, value int64) {
	if value != 0 {
		o.integer(name, value)
	}
}

// optionalMoment writes a time that is not zero.
func (o *object) optionalMoment(name string, value time.Time) {
	if !value.IsZero() {
		o.moment(name, value)
	}
}

// optionalRaw writes a JSON value that is there, without the space between its parts and in a form that every
// reader accepts.
func (o *object) optionalRaw(name string, value json.RawMessage) error {
	if len(value) == 0 {
		return nil
	}
	o.name(name)
	into := bytes.NewBuffer(o.b)
	if err := json.Compact(into, Portable(value)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o.b = into.Bytes()
	return nil
}

// compactSize returns how many bytes of a JSON value are no space between its parts.
func compactSize(value json.RawMessage) int64 {
	size, inString := int64(0), false
	for i := 0; i < len(value); i++ {
		switch b := value[i]; {
		case b == '"':
			inString = !inString
		case inString && b == '\\':
			i++
			size++
		case !inString && (b == ' ' || b == '\t' || b == '\r' || b == '\n'):
			continue
		}
		size++
	}
	return size
}

// optionalValue writes a value that is seldom there, by reflection.
func (o *object) optionalValue(name string, there bool, value any) error {
	if !there {
		return nil
	}
	o.name(name)
	into := bytes.NewBuffer(o.b)
	enc := json.NewEncoder(into)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o.b = bytes.TrimSuffix(into.Bytes(), []byte("\n"))
	return nil
}

// end closes the object and returns its bytes.
func (o *object) end() []byte { return append(o.b, '}') }
