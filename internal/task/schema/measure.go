package schema

import (
	"bytes"
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
