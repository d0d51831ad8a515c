package redact

import (
	"bytes"
	"slices"
	"strings"
)

// Short is the mark of a secret if longer marks would make a text too long. No secret is shorter.
const Short = "*"

// Builder collects what Compose returns. It copies nothing as long as nothing was redacted.
type Builder struct {
	redactor *Redactor
	bytes    []byte
	size     int // bytes of the original
	// Every mark is Short, so that nothing becomes longer.
	short bool
	// The limit was exceeded: Compose drops what was written.
	tooLong bool
}

// limit returns how many bytes may be written before the marks count as too long. The constant lets short
// texts keep their full marks.
func (b *Builder) limit() int { return 2*b.size + 16<<10 }

// Raw writes bytes unchanged.
func (b *Builder) Raw(raw []byte) {
	b.reserve(len(raw))
	b.bytes = append(b.bytes, raw...)
}

// Mark writes the mark of a name, as a JSON string.
func (b *Builder) Mark(name string) {
	if b.short {
		b.string(Short)
	} else {
		b.string(inString(b.redactor.Mark(name)))
	}
}

// string writes a JSON string. inside is already escaped.
func (b *Builder) string(inside string) {
	b.text(`"`)
	b.text(inside)
	b.text(`"`)
}

// text writes a mark or a quote. Only marks can make the result too long.
func (b *Builder) text(text string) {
	b.reserve(len(text))
	b.bytes = append(b.bytes, text...)
	b.tooLong = b.tooLong || !b.short && len(b.bytes) > b.limit()
}

// reserve makes room for n more bytes: at first for the original and a few marks, and never for much more than the limit.
func (b *Builder) reserve(n int) {
	need := len(b.bytes) + n
	if need <= cap(b.bytes) {
		return
	}
	// One mark may exceed the limit.
	most := b.limit() + 1<<10
	size := max(need, min(2*cap(b.bytes), most), b.size+b.size/16+64)
	b.bytes = append(make([]byte, 0, size), b.bytes...)
}

// JSON writes a part of a JSON text with marks instead of secrets. The part must not begin or end inside a string or a
// number.
func (b *Builder) JSON(part []byte) {
	if b.redactor.machine == nil {
		b.Raw(part)
		return
	}
	written := 0 // bytes of part that were written, or replaced
	for at := 0; at < len(part) && !b.tooLong; {
		end := at + 1
		switch {
		case part[at] == '"':
			end = stringEnd(part, at)
			inside := part[at+1 : max(at+1, end-1)]
			if b.redactor.search(inside, true) {
				b.Raw(part[written:at])
				b.text(`"`)
				b.replace(inside, b.redactor.quoted)
				b.text(`"`)
				written = end
			}
		case beginsNumber(part[at]):
			end = numberEnd(part, at)
			if secret := b.redactor.numbers[string(part[at:end])]; secret != 0 {
				b.Raw(part[written:at])
				b.string(b.mark(b.redactor.quoted, secret))
				written = end
			}
		}
		at = end
	}
	switch {
	case b.tooLong:
	// Nothing was redacted: the original is the result. Without spare capacity, so that an append copies
	// it.
	case written == 0 && len(b.bytes) == 0:
		b.bytes = slices.Clip(part)
	default:
		b.Raw(part[written:])
	}
}

// replace writes the text of the last search, with marks instead of secrets.
func (b *Builder) replace(text []byte, marks []string) {
	written, last := 0, ""
	for !b.tooLong {
		begin, end, secret, ok := b.redactor.found.piece(written)
		if !ok {
			b.Raw(text[written:])
			return
		}
		mark := b.mark(marks, secret)
		// Adjacent hits with the same mark get one.
		if begin > written || mark != last {
			b.Raw(text[written:begin])
			b.text(mark)
		}
		written, last = end, mark
	}
}

// mark returns the mark of the secret with that index.
func (b *Builder) mark(marks []string, secret uint16) string {
	if b.short {
		return Short
	}
	return marks[secret]
}

// stringEnd returns where the JSON string that begins at from ends: after the first quote that is not escaped, or at the
// end of the data.
func stringEnd(data []byte, from int) int {
	begin := from + 1
	for end := begin; ; end++ {
		next := bytes.IndexByte(data[end:], '"')
		if next < 0 {
			return len(data)
		}
		end += next
		inside := data[begin:end]
		// After an even number of backslashes, these escape one another and not the quote.
		if backslashes := len(inside) - len(bytes.TrimRight(inside, `\`)); backslashes%2 == 0 {
			return end + 1
		}
	}
}

// numberEnd returns where the JSON number that begins at from ends. It accepts more than numbers, which
// does not matter in JSON.
func numberEnd(data []byte, from int) int {
	end := from + 1
	for end < len(data) && (beginsNumber(data[end]) || strings.IndexByte("+.eE", data[end]) >= 0) {
		end++
	}
	return end
}

// beginsNumber reports whether a JSON number can begin with b.
func beginsNumber(b byte) bool { return b == '-' || '0' <= b && b <= '9' }
