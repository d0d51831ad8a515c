package task

import (
	"encoding/binary"
	"encoding/hex"
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text with layers of escaping taken off, which remembers where its bytes stood. A secret can
// stand in a text as JSON inside JSON or in a URL; it is looked for in every view.
type view struct {
	text   string
	parent *view  // what the outermost layer was taken off; nil for the text itself
	jumps  []jump // where the two texts drift apart, in order
}

// jump says that from at on in a view, and from origin on in its parent, the texts are the same again.
type jump struct{ at, origin int }

// layers is how many escapings may be wrapped around each other.
const layers = 2

// escapings are what the escapes begin with that are looked through; see appendUnescaped.
const escapings = `\%+`

// views returns the text and what it says with up to two layers of escaping taken off.
func views(text string) []*view {
	all := []*view{{text: text}}
	outer := all
	for range layers {
		var inner []*view
		for _, v := range outer {
			for _, escaping := range []byte(escapings) {
				if peeled := v.peel(escaping); peeled != nil {
					inner = append(inner, peeled)
				}
			}
		}
		all = append(all, inner...)
		outer = inner
	}
	return all
}

// peel takes off one layer of the escapes that begin with this byte. It returns nil where there is none.
func (v *view) peel(escaping byte) *view {
	var text []byte
	var jumps []jump
	done := 0
	for at := 0; ; {
		next := strings.IndexByte(v.text[at:], escaping)
		if next < 0 {
			break
		}
		at += next
		text = append(text, v.text[done:at]...)
		done = at
		var width int
		if text, width = appendUnescaped(text, v.text[at:]); width == 0 {
			at++ // it only looks like an escape
			continue
		}
		at += width
		done = at
		jumps = append(jumps, jump{len(text), at})
	}
	if jumps == nil {
		return nil
	}
	return &view{text: string(append(text, v.text[done:]...)), parent: v, jumps: jumps}
}

// origin returns where in the text itself the view's byte i stood.
func (v *view) origin(i int) int {
	if v.parent == nil {
		return i
	}
	if n := sort.Search(len(v.jumps), func(n int) bool { return v.jumps[n].at > i }); n > 0 {
		i += v.jumps[n-1].origin - v.jumps[n-1].at
	}
	return v.parent.origin(i)
}

// find returns where in the text itself the secret stands.
func (v *view) find(s secret) []hit {
	var hits []hit
	for at := 0; ; {
		next := strings.Index(v.text[at:], s.value)
		if next < 0 {
			return hits
		}
		from := at + next
		at = from + len(s.value)
		hits = append(hits, hit{v.origin(from), v.origin(at), s.mark})
	}
}

// appendUnescaped appends what the escape at the beginning of text says, and returns how many bytes it
// is wide: 0 where there is none.
func appendUnescaped(b []byte, text string) (longer []byte, width int) {
	switch text[0] {
	case '\\':
		return appendBackslash(b, text)
	case '%':
		return appendPercent(b, text)
	default: // '+', a blank in a URL's query
		return append(b, ' '), 1
	}
}

// appendBackslash reads an escape of JSON: RFC 8259, section 7.
func appendBackslash(b []byte, text string) (longer []byte, width int) {
	if len(text) < 2 {
		return b, 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/', '\'':
		return append(b, c), 2
	case 'u':
		return appendUnicode(b, text)
	default:
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			return append(b, "\b\f\n\r\t"[i]), 2
		}
		return b, 0
	}
}

// appendUnicode reads \uXXXX, or two of them that are one character's surrogates.
func appendUnicode(b []byte, text string) (longer []byte, width int) {
	const one = len(`\u0000`)
	first, ok := readUnit(text)
	if !ok {
		return b, 0
	}
	if second, ok := readUnit(text[one:]); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return utf8.AppendRune(b, r), 2 * one
		}
	}
	return utf8.AppendRune(b, first), one
}

// readUnit reads the UTF-16 code unit of one \uXXXX.
func readUnit(text string) (rune, bool) {
	if len(text) < 6 || text[:2] != `\u` {
		return 0, false
	}
	var unit [2]byte
	_, err := hex.Decode(unit[:], []byte(text[2:6]))
	return rune(binary.BigEndian.Uint16(unit[:])), err == nil
}

// appendPercent reads an escape of a URL: RFC 3986, section 2.1.
func appendPercent(b []byte, text string) (longer []byte, width int) {
	if len(text) < 3 {
		return b, 0
	}
	var said [1]byte
	if _, err := hex.Decode(said[:], []byte(text[1:3])); err != nil {
		return b, 0
	}
	return append(b, said[0]), 3
}
