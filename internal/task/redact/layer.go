package redact

// unit is one byte of a text after some layers of escaping were removed, and the stretch of the original text that it
// comes from. All bytes of one escape have the same stretch.
type unit struct {
	b byte
	// The outermost layer has removed an escape here.
	unescaped bool
	// The stretch.
	from, to int
}

// layer removes one kind of escaping from a text, byte by byte. It returns everything that is not an escape unchanged.
type layer struct {
	kind  byte   // the first byte of its escapes
	inner *layer // the layer that it reads from; nil if it reads the text
	text  []byte
	at    int // index of the next byte of the text

	// ahead[head:head+n] were read from inner and not returned yet. A layer that reads the text looks ahead
	// in the text itself.
	ahead   [2 * longestEscape]unit
	head, n int

	// The bytes of the last escape: at most one character in UTF-8. Those from decodedNext on were not
	// returned yet.
	decoded     [4]byte
	decodedNext int // index of the next byte to return
	decodedEnd  int
	// The stretch of that escape.
	from, to int
}

// next returns the next byte, or false at the end of the text.
func (l *layer) next() (unit, bool) {
	if l.decodedNext < l.decodedEnd {
		l.decodedNext++
		return unit{l.decoded[l.decodedNext-1], true, l.from, l.to}, true
	}
	first, ok := l.peek()
	if !ok {
		return unit{}, false
	}
	if first.b == l.kind {
		var escape [longestEscape]byte
		// Two bytes say how many more an escape can have. Most of what begins like one is none.
		n := l.peekBytes(&escape, 2)
		if n == 2 {
			n = l.peekBytes(&escape, maxWidth(escape[0], escape[1]))
		}
		if decoded, width := unescape(l.decoded[:0], escape[:n]); width > 0 {
			l.from, l.to = first.from, l.stretchEnd(width)
			l.decodedNext, l.decodedEnd = 1, len(decoded)
			l.skip(width)
			return unit{decoded[0], true, l.from, l.to}, true
		}
	}
	l.skip(1)
	// The inner layer may have unescaped it, but this one has not.
	first.unescaped = false
	return first, true
}

// isIdle reports whether nothing was read ahead, so that the next byte is the text's next byte.
func (l *layer) isIdle() bool {
	return l.decodedNext == l.decodedEnd && l.n == 0 && (l.inner == nil || l.inner.isIdle())
}

// peek returns the next byte that the layer reads, without reading it.
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

// readAhead reads one more byte from the inner layer.
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

// peekBytes copies the next n bytes, without reading them. It returns how many there are.
func (l *layer) peekBytes(escape *[longestEscape]byte, n int) int {
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

// stretchEnd returns where in the text the next width bytes end.
func (l *layer) stretchEnd(width int) int {
	if l.inner == nil {
		return l.at + width
	}
	return l.ahead[l.head+width-1].to
}

// skip drops the next width bytes, which were peeked at.
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
