package task

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// readable returns a result as any reader of JSON can read it. One that is nested deeper than a request may be, or has
// a number that a float64 cannot hold, becomes a JSON string of its text, and half of a surrogate pair U+FFFD. All else
// stays as it is. The result has to be JSON.
func readable(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return raw
	}
	raw = withoutLoneSurrogates(raw)
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if !nextReadable(dec) {
			return quote(string(raw))
		}
		if dec.StackDepth() == 0 {
			return raw
		}
	}
}

// nextReadable reads the next bracket, string, number or word, and reports whether any reader can.
func nextReadable(dec *jsontext.Decoder) bool {
	if dec.PeekKind() == '0' {
		number, err := dec.ReadValue()
		return err == nil && legalNumber(string(number))
	}
	_, err := dec.ReadToken()
	return err == nil && dec.StackDepth() <= maxDepth
}

// withoutLoneSurrogates puts U+FFFD in the place of each escape for half of a surrogate pair that stands without the
// other half.
func withoutLoneSurrogates(raw json.RawMessage) json.RawMessage {
	var repaired []byte
	done := 0
	for at := 0; ; {
		next := bytes.IndexByte(raw[at:], '\\')
		if next < 0 {
			break
		}
		at += next
		high, low := halfPair(raw[at:]), halfPair(raw[min(at+escapeSize, len(raw)):])
		switch {
		case high == 0:
			at += 2
		case high < 0xDC00 && low >= 0xDC00:
			at += 2 * escapeSize
		default:
			repaired = append(append(repaired, raw[done:at]...), `\ufffd`...)
			at += escapeSize
			done = at
		}
	}
	if done == 0 {
		return raw
	}
	return append(repaired, raw[done:]...)
}

// escapeSize is the length of an escape such as \ud83d.
const escapeSize = 6

// halfPair returns the half of a surrogate pair whose escape the text begins with, or 0.
func halfPair(text []byte) int {
	if len(text) < escapeSize || text[0] != '\\' || text[1] != 'u' || text[2]|0x20 != 'd' {
		return 0
	}
	code := 0
	for _, digit := range text[2:escapeSize] {
		code = code<<4 | strings.IndexByte("0123456789abcdef", digit|0x20)
	}
	if code < 0xD800 {
		return 0
	}
	return code
}
