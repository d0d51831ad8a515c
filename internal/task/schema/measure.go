package schema

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a JSON value, for schemas and for what is checked against them.
const (
	// How many objects and arrays may be inside one another.
	maxDepth = 1000
	// MaxNumber is how long the literal of a number may be in bytes, and how large its exponent, either way.
	MaxNumber = 400
)

// measure is the size of a JSON value, found without decoding it.
type measure struct {
	length int // bytes of its text
	values int // JSON values in it, including itself
	depth  int // objects and arrays inside one another
	// Estimate of its memory in bytes if it is decoded at once.
	whole int
	// Estimate of its memory in bytes if large objects and arrays are decoded one after the other; see
	// eager.
	most int
}

// Sizes of decoded values in bytes, with Go 1.26 on a 64-bit machine.
const (
	boxSize    = 16 // an interface, or the string or number that it points to
	sliceSize  = 24 // the header
	emptyMap   = 48
	smallMap   = 344 // a map with up to eight members
	memberSize = 80  // each member of a larger map
)

// part is an object or array that is being measured: where it begins, and the sizes of the values that are complete in it.
// sum adds up their most, and most is the largest.
type part struct{ from, whole, sum, most int }

// measureJSON measures a JSON value. The error says why it cannot be checked against any schema. What
// follows the first value in raw is not read.
func measureJSON(raw []byte) (measure, error) {
	in := measure{length: len(raw)}
	// The first part stands for what contains the whole value. It is never complete.
	parts := []part{{}}
	dec := newDecoder(raw)
	for {
		done, err := in.readToken(dec, &parts)
		if err != nil {
			return measure{}, err
		}
		// The object or array that contains what was read.
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

// readToken measures the next scalar, or the beginning or end of an object or array. It returns the sizes of a value that is
// complete with it.
func (in *measure) readToken(dec *jsontext.Decoder, parts *[]part) (part, error) {
	kind, depth := dec.PeekKind(), dec.StackDepth()
	// What contains the token, and how many names and values are in it so far.
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
	// The end of an object or array.
	done := (*parts)[depth]
	*parts = (*parts)[:depth]
	own := sizeOf(of, int(length))
	if end-done.from <= eager { // it will be decoded at once
		return part{whole: own + done.whole, most: own + done.sum}, nil
	}
	// Its objects and arrays stay undecoded, which takes a box each. One of them at a time is decoded to be
	// checked, and the largest counts.
	return part{whole: own + done.whole, most: own + boxSize*int(length) + done.most}, nil
}

// sizeOf estimates the memory of an object or array without its values. length counts names and values.
func sizeOf(kind jsontext.Kind, length int) int {
	switch {
	case kind == '[':
		return sliceSize + 2*boxSize*length // there is a second copy while it is decoded
	case length == 0:
		return emptyMap
	case length <= 16:
		return smallMap
	default:
		return smallMap + memberSize*length/2
	}
}

// scalar measures a string, a number, true, false or null.
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
		if !IsAffordable(value) {
			return part{}, fmt.Errorf("the number %s does not fit a float64", shorten(string(value)))
		}
	case '"':
		size = boxSize
		if !isVerbatim(value) {
			size += 3 * len(value) // U+FFFD takes three bytes
		}
	default: // null, true and false need no memory beyond the interface
	}
	return part{whole: size, most: size}, nil
}

// IsAffordable reports whether a JSON number fits a float64 and has a small exponent. The validator computes with exact
// fractions, and so would compute 10 to the power of any exponent.
func IsAffordable(literal []byte) bool {
	if len(literal) > MaxNumber {
		return false
	}
	if len(literal) < 16 && !bytes.ContainsAny(literal, "eE") {
		return true
	}
	if at := bytes.IndexAny(literal, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(string(literal[at+1:]))
		if err != nil || max(exponent, -exponent) > MaxNumber {
			return false
		}
	}
	_, err := strconv.ParseFloat(string(literal), 64)
	return err == nil
}

// isVerbatim reports whether a JSON string means exactly the bytes between its quotes.
func isVerbatim(literal []byte) bool {
	return bytes.IndexByte(literal, '\\') < 0 && utf8.Valid(literal)
}
