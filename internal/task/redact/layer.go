package redact

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The kinds of escaping, by the byte that their escapes begin with.
const (
	inJSON = '\\' // RFC 8259, section 7
	inURL  = '%'  // RFC 3986, section 2.1
	inHTML = '&'  // WHATWG HTML, 13.1.4: what serializers write, and numbers
)

// kinds holds the kinds of escaping in the order they are tried.
const kinds = `\%&`

// longestEscape is how many bytes are looked at to read an escape: two units of UTF-16 take as many, and a number in HTML fewer.
const longestEscape = len(`\ud83d\ude00`)

// unit is a byte of a text with some escaping taken off, and the stretch of the original text that it stands for. The bytes of
// one escape stand for the same stretch.
type unit struct {
	b         byte
	unescaped bool // by the outermost layer
	from, to  int
}

// layer reads a text with one kind of escaping taken off, byte by byte. What is no escape it returns as it is.
type layer struct {
	kind  byte
	inner *layer // the layer that it reads; nil where it reads the text itself
	text  []byte
	at    int // the next byte of the text to be read

	ahead   [2 * longestEscape]unit // from head to end: what was read of inner and not returned yet
	head, n int

	said     [utf8.UTFMax]byte // what the last escape says
	saidAt   int
	saidEnd  int
	from, to int // where it stood
}

// next returns the next byte, or false at the end of the text.
func (l *layer) next() (unit, bool) {
	if l.saidAt < l.saidEnd {
		l.saidAt++
		return unit{l.said[l.saidAt-1], true, l.from, l.to}, true
	}
	first, ok := l.peek()
	if !ok {
		return unit{}, false
	}
	if first.b == l.kind {
		var escape [longestEscape]byte
		n := l.look(&escape, 2)
		if n == 2 {
			n = l.look(&escape, reach(escape[0], escape[1]))
		}
		if said, width := unescape(l.said[:0], escape[:n]); width > 0 {
			l.from, l.to = first.from, l.end(width)
			l.saidAt, l.saidEnd = 1, len(said)
			l.skip(width)
			return unit{said[0], true, l.from, l.to}, true
		}
	}
	l.skip(1)
	first.unescaped = false
	return first, true
}

// idle reports whether nothing was read ahead, so that the next byte is the text's at place.
func (l *layer) idle() bool {
	return l.saidAt == l.saidEnd && l.n == 0 && (l.inner == nil || l.inner.idle())
}

// reach returns how many bytes have to be looked at to read an escape that begins with these two.
func reach(first, second byte) int {
	switch {
	case first == inURL:
		return 3
	case first == inJSON && second != 'u':
		return 2
	default:
		return longestEscape
	}
}

// peek returns the next byte of what the layer reads.
func (l *layer) peek() (unit, bool) {
	if l.inner == nil {
		if l.at == len(l.text) {
			return unit{}, false
		}
		return unit{b: l.text[l.at], from: l.at, to: l.at + 1}, true
	}
	if l.n == 0 && !l.readAhead() {
		return unit{}, false
	}
	return l.ahead[l.head], true
}

func (l *layer) readAhead() bool {
	if l.head+l.n == len(l.ahead) {
		copy(l.ahead[:], l.ahead[l.head:])
		l.head = 0
	}
	next, ok := l.inner.next()
	if ok {
		l.ahead[l.head+l.n] = next
		l.n++
	}
	return ok
}

// look returns how many of the next n bytes there are, and the bytes.
func (l *layer) look(escape *[longestEscape]byte, n int) int {
	if l.inner == nil {
		return copy(escape[:n], l.text[l.at:])
	}
	for l.n < n && l.readAhead() {
	}
	n = min(n, l.n)
	for i, next := range l.ahead[l.head : l.head+n] {
		escape[i] = next.b
	}
	return n
}

// end returns where the stretch of the next bytes, so many, ends.
func (l *layer) end(width int) int {
	if l.inner == nil {
		return l.at + width
	}
	return l.ahead[l.head+width-1].to
}

func (l *layer) skip(width int) {
	if l.inner == nil {
		l.at += width
		return
	}
	l.head, l.n = l.head+width, l.n-width
	if l.n == 0 {
		l.head = 0
	}
}

// unescape appends what the escape at the beginning of text says, and returns how many bytes it is wide: 0 where there is none.
func unescape(said, text []byte) (longer []byte, width int) {
	switch text[0] {
	case inJSON:
		return unescapeJSON(said, text)
	case inURL:
		if high, low, ok := hexPair(text[1:]); ok {
			return append(said, high<<4|low), 3
		}
		return said, 0
	default:
		return unescapeHTML(said, text)
	}
}

// unescapeJSON knows \' as well, which JavaScript has.
func unescapeJSON(said, text []byte) (longer []byte, width int) {
	if len(text) < 2 {
		return said, 0
	}
	switch text[1] {
	case '"', '\\', '/', '\'':
		return append(said, text[1]), 2
	case 'u':
		return unescapeUTF16(said, text)
	}
	if i := strings.IndexByte("bfnrt", text[1]); i >= 0 {
		return append(said, "\b\f\n\r\t"[i]), 2
	}
	return said, 0
}

// unescapeUTF16 reads \uXXXX, or two of them that are one character's surrogates. A surrogate alone is U+FFFD.
func unescapeUTF16(said, text []byte) (longer []byte, width int) {
	const one = len(`\u0000`)
	first, ok := readUnit(text)
	if !ok {
		return said, 0
	}
	if second, ok := readUnit(text[one:]); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return utf8.AppendRune(said, r), 2 * one
		}
	}
	return utf8.AppendRune(said, first), one
}

// readUnit reads the UTF-16 code unit of one \uXXXX.
func readUnit(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, b := range text[2:6] {
		digit, ok := hexDigit(b)
		if !ok {
			return 0, false
		}
		unit = unit<<4 | rune(digit)
	}
	return unit, true
}

// unescapeHTML reads a character by its name or number. It ends with a semicolon.
func unescapeHTML(said, text []byte) (longer []byte, width int) {
	end := 1
	for end < len(text) && text[end] != ';' {
		end++
	}
	if end < 3 || end == len(text) {
		return said, 0
	}
	name := text[1:end]
	if name[0] == '#' {
		if r, ok := number(name[1:]); ok {
			return utf8.AppendRune(said, r), end + 1
		}
		return said, 0
	}
	switch string(name) {
	case "amp":
		return append(said, '&'), end + 1
	case "lt":
		return append(said, '<'), end + 1
	case "gt":
		return append(said, '>'), end + 1
	case "quot":
		return append(said, '"'), end + 1
	case "apos":
		return append(said, '\''), end + 1
	case "nbsp":
		return append(said, "\u00a0"...), end + 1
	default:
		return said, 0
	}
}

// number reads the decimal or, behind an x, hexadecimal number of a character.
func number(digits []byte) (r rune, ok bool) {
	base := rune(10)
	if len(digits) > 0 && digits[0]|0x20 == 'x' {
		base, digits = 16, digits[1:]
	}
	for _, b := range digits {
		digit, isHex := hexDigit(b)
		if !isHex || rune(digit) >= base || r > utf8.MaxRune {
			return 0, false
		}
		r = r*base + rune(digit)
	}
	return r, len(digits) > 0 && r <= utf8.MaxRune
}

func hexPair(text []byte) (high, low byte, ok bool) {
	if len(text) < 2 {
		return 0, 0, false
	}
	high, isHigh := hexDigit(text[0])
	low, isLow := hexDigit(text[1])
	return high, low, isHigh && isLow
}

func hexDigit(b byte) (digit byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10, true
	default:
		return 0, false
	}
}
