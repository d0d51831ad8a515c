package redact

import (
	"bytes"
	"slices"
	"strings"
)

// shortMark stands for a secret where longer marks would make a text much longer. No secret is shorter.
const shortMark = "*"

// Builder gathers what Compose returns. As long as there was nothing to redact, it copies nothing.
type Builder struct {
	redactor *Redactor
	bytes    []byte
	size     int  // bytes of what is redacted
	short    bool // each mark is shortMark
	over     bool // the limit was passed, and what is written does not count
}

// limit is how many bytes may be written: twice as many as there were, and some that are never too many.
func (b *Builder) limit() int { return 2*b.size + 16<<10 }

// Raw writes bytes as they are.
func (b *Builder) Raw(raw []byte) {
	b.grow(len(raw))
	b.bytes = append(b.bytes, raw...)
}

// Mark writes a JSON string that is the mark of a name.
func (b *Builder) Mark(name string) {
	if b.short {
		b.string(shortMark)
	} else {
		b.string(inString(b.redactor.Mark(name)))
	}
}

func (b *Builder) string(inside string) {
	b.text(`"`)
	b.text(inside)
	b.text(`"`)
}

func (b *Builder) text(text string) {
	b.grow(len(text))
	b.bytes = append(b.bytes, text...)
	b.over = b.over || !b.short && len(b.bytes) > b.limit()
}

// grow makes room for more bytes, at first for a few marks, and never for more than can be written.
func (b *Builder) grow(n int) {
	need := len(b.bytes) + n
	if need <= cap(b.bytes) {
		return
	}
	most := b.limit() + 1<<10 // and for the mark that passes the limit
	size := max(need, min(2*cap(b.bytes), most), b.size+b.size/16+64)
	b.bytes = append(make([]byte, 0, size), b.bytes...)
}

// JSON writes a part of a JSON text, which does not cut a string or a number in two, with marks in the place of secrets.
func (b *Builder) JSON(part []byte) {
	if b.redactor.machine == nil {
		b.Raw(part)
		return
	}
	done := 0
	for at := 0; at < len(part) && !b.over; {
		end := at + 1
		switch {
		case part[at] == '"':
			end = stringEnd(part, at)
			inside := part[at+1 : max(at+1, end-1)]
			if b.redactor.search(inside, true) {
				b.Raw(part[done:at])
				b.text(`"`)
				b.replace(inside, b.redactor.quoted)
				b.text(`"`)
				done = end
			}
		case isNumber(part[at]):
			end = numberEnd(part, at)
			if secret := b.redactor.numbers[string(part[at:end])]; secret != 0 {
				b.Raw(part[done:at])
				b.string(b.mark(b.redactor.quoted, secret))
				done = end
			}
		}
		at = end
	}
	switch {
	case b.over:
	case done == 0 && len(b.bytes) == 0:
		b.bytes = slices.Clip(part)
	default:
		b.Raw(part[done:])
	}
}

// replace writes the text that was searched last, with marks.
func (b *Builder) replace(text []byte, marks []string) {
	done, last := 0, ""
	for !b.over {
		begin, end, secret, ok := b.redactor.found.piece(done)
		if !ok {
			b.Raw(text[done:])
			return
		}
		mark := b.mark(marks, secret)
		if begin > done || mark != last { // two of the same mark that touch are one
			b.Raw(text[done:begin])
			b.text(mark)
		}
		done, last = end, mark
	}
}

func (b *Builder) mark(marks []string, secret uint16) string {
	if b.short {
		return shortMark
	}
	return marks[secret]
}

// stringEnd returns where the JSON string ends that begins at from: behind the first quote without a backslash of its own, or at
// the end of the data.
func stringEnd(data []byte, from int) int {
	begin := from + 1
	for end := begin; ; end++ {
		next := bytes.IndexByte(data[end:], '"')
		if next < 0 {
			return len(data)
		}
		end += next
		inside := data[begin:end]
		if backslashes := len(inside) - len(bytes.TrimRight(inside, `\`)); backslashes%2 == 0 {
			return end + 1
		}
	}
}

func numberEnd(data []byte, from int) int {
	end := from + 1
	for end < len(data) && (isNumber(data[end]) || strings.IndexByte("+.eE", data[end]) >= 0) {
		end++
	}
	return end
}

// isNumber reports whether a JSON number can begin with b.
func isNumber(b byte) bool { return b == '-' || '0' <= b && b <= '9' }
