package task

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
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

// escapings are the ways of writing a byte that are looked through: the byte each begins with, and what
// it says, with its width; zero for none.
var escapings = []struct {
	begin byte
	read  func(text string) (says string, width int)
}{
	{'\\', readBackslash}, // JSON, RFC 8259, section 7
	{'%', readPercent},    // URL, RFC 3986, section 2.1
	{'+', readPlus},       // a blank in a URL's query
}

// views returns the text and what it says with up to two layers of escaping taken off.
func views(text string) []*view {
	all := []*view{{text: text}}
	begin := 0
	for range layers {
		end := len(all)
		for _, v := range all[begin:end] {
			for _, e := range escapings {
				if peeled := v.peel(e.begin, e.read); peeled != nil {
					all = append(all, peeled)
				}
			}
		}
		begin = end
	}
	return all
}

// peel takes one layer of an escaping off. It returns nil where there is none.
func (v *view) peel(begin byte, read func(string) (string, int)) *view {
	var b strings.Builder
	var jumps []jump
	done := 0
	for at := 0; at < len(v.text); {
		next := strings.IndexByte(v.text[at:], begin)
		if next < 0 {
			break
		}
		at += next
		says, width := read(v.text[at:])
		if width == 0 {
			at++
			continue
		}
		b.WriteString(v.text[done:at])
		b.WriteString(says)
		at += width
		done = at
		jumps = append(jumps, jump{b.Len(), at})
	}
	if jumps == nil {
		return nil
	}
	b.WriteString(v.text[done:])
	return &view{text: b.String(), parent: v, jumps: jumps}
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

func readBackslash(text string) (string, int) {
	if len(text) < 2 {
		return "", 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/', '\'':
		return text[1:2], 2
	case 'u':
		return readUnicode(text)
	default:
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			return "\b\f\n\r\t"[i : i+1], 2
		}
		return "", 0
	}
}

// readUnicode reads \uXXXX, or two of them that are one character's surrogates.
func readUnicode(text string) (string, int) {
	const width = len(`\u0000`)
	first, ok := readUnit(text)
	if !ok {
		return "", 0
	}
	if second, ok := readUnit(text[width:]); ok {
		if r := utf16.DecodeRune(first, second); r != '\uFFFD' {
			return string(r), 2 * width
		}
	}
	return string(first), width
}

func readUnit(text string) (rune, bool) {
	if len(text) < 6 || text[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

func readPercent(text string) (string, int) {
	if len(text) < 3 {
		return "", 0
	}
	n, err := strconv.ParseUint(text[1:3], 16, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(n)}), 3
}

func readPlus(string) (string, int) { return " ", 1 }
