package task

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// Portable returns a JSON value in a form that every reader accepts (RFC 8259, section 8, and RFC 7493): each byte that
// is not UTF-8 and each lone surrogate escape becomes U+FFFD, and a number that does not fit into a float64 becomes a
// string of its digits. Everything else stays byte for byte. A value without flaws is returned itself, and so is a text
// that is not JSON.
func Portable(raw json.RawMessage) json.RawMessage {
	fixed, _ := repair(raw)
	return fixed
}

// readable returns a result in a form that every reader accepts, at the cost of its structure if need be: one that is
// nested deeper than a request may be, or has a number that a request may not have, becomes a JSON string of its text.
// Any other result is only made Portable. The result must be JSON.
func readable(raw json.RawMessage) json.RawMessage {
	fixed, ordinary := repair(raw)
	if !ordinary {
		return quote(string(raw))
	}
	return fixed
}

// repair returns what Portable returns, and whether the depth and the numbers of the value are those that a request may
// have.
func repair(raw json.RawMessage) (fixed json.RawMessage, ordinary bool) {
	text := edit{raw: raw}
	ordinary = true
	dec := newDecoder(raw)
	for literal := range literals(dec) {
		end := int(dec.InputOffset())
		begin := end - len(literal)
		switch {
		// A bracket. The depth is the one after it.
		case literal == nil:
			ordinary = ordinary && dec.StackDepth() <= maxDepth
		case literal.Kind() == '"':
			for at, width := range flaws(literal) {
				text.replace(begin+at, begin+at+width, "\uFFFD")
			}
		case literal.Kind() == '0' && !schema.IsAffordable(literal):
			ordinary = false
			if _, err := strconv.ParseFloat(string(literal), 64); err != nil {
				text.replace(begin, end, `"`+string(literal)+`"`)
			}
		}
	}
	return text.bytes(), ordinary
}

// edit is a text with replacements. It copies the text at the first one.
type edit struct {
	raw, out []byte
	// How much of raw is in out, as it is or replaced.
	copied int
}

// replace puts a text in the place of raw[from:to]. Calls must come in the order of their places.
func (e *edit) replace(from, to int, by string) {
	if e.out == nil {
		e.out = make([]byte, 0, len(e.raw)+len(e.raw)/16+64)
	}
	e.out = append(append(e.out, e.raw[e.copied:from]...), by...)
	e.copied = to
}

// bytes returns the text with its replacements, or raw itself if there are none.
func (e *edit) bytes() []byte {
	if e.out == nil {
		return e.raw
	}
	return append(e.out, e.raw[e.copied:]...)
}

// flaws yields the place and the width of each byte of a JSON string that is not UTF-8, and of each escape of half a
// surrogate pair without the other half. A strict reader refuses both, and others read U+FFFD.
func flaws(literal []byte) iter.Seq2[int, int] {
	return func(yield func(at, width int) bool) {
		if bytes.IndexByte(literal, '\\') < 0 && utf8.Valid(literal) {
			return
		}
		for at := 0; at < len(literal); {
			width, ok := firstCharacter(literal[at:])
			if !ok && !yield(at, width) {
				return
			}
			at += width
		}
	}
}

// firstCharacter returns the width in bytes of the first character or escape of a JSON string, and whether every reader
// accepts it. The two escapes of a surrogate pair are one character.
func firstCharacter(text []byte) (width int, ok bool) {
	const escape = len(`\u0000`)
	switch {
	case text[0] >= utf8.RuneSelf:
		r, width := utf8.DecodeRune(text)
		return width, r != utf8.RuneError || width > 1
	case text[0] != '\\':
		return 1, true
	case text[1] != 'u':
		return len(`\n`), true
	}
	first := escapedUnit(text)
	switch {
	case !utf16.IsSurrogate(first):
		return escape, true
	case utf16.DecodeRune(first, escapedUnit(text[escape:])) != utf8.RuneError:
		return 2 * escape, true
	default:
		return escape, false
	}
}

// escapedUnit returns the UTF-16 code unit of the \uXXXX that a text begins with, or 0 if it begins with something else.
func escapedUnit(text []byte) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	// In JSON, four digits follow.
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}

// compactSize returns the size of a JSON value in bytes without the space between its parts.
func compactSize(raw json.RawMessage) (size int64) {
	for dec := newDecoder(raw); ; {
		if kind := dec.PeekKind(); kind == '}' || kind == ']' {
			_, length := dec.StackIndex(dec.StackDepth())
			size += max(length-1, 0) // commas and colons
		}
		literal, err := readLiteral(dec)
		if err != nil {
			return size
		}
		size += int64(max(len(literal), len("{")))
	}
}

// distinctText returns the text of a JSON string that is UTF-8, so that two strings have the same text only if they mean
// the same. Half a surrogate pair cannot be written in UTF-8: halfMark and the four digits of its escape stand for it. The
// text may be a part of the literal.
func distinctText(literal []byte) []byte {
	if bytes.IndexByte(literal, '\\') < 0 {
		return literal[1 : len(literal)-1]
	}
	text, err := jsontext.AppendUnquote(nil, literal)
	if err == nil {
		return text
	}
	text = text[:0]
	begin := 1
	for at, width := range flaws(literal) {
		text, _ = jsontext.AppendUnquote(text, `"`+string(literal[begin:at])+`"`)
		begin = at + width
		text = append(append(text, halfMark...), bytes.ToLower(literal[begin-len("d83d"):begin])...)
	}
	text, _ = jsontext.AppendUnquote(text, `"`+string(literal[begin:]))
	return text
}

// halfMark is a byte that no text in UTF-8 has.
const halfMark = "\xff"

// showHalves returns a text of distinctText as people can read it.
func showHalves(text []byte) string { return strings.ReplaceAll(string(text), halfMark, `\u`) }
