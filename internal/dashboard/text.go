package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible returns a page with escapes such as \u202e in the place of characters that nobody can see and that change what
// others look like: control characters and marks of direction. The templates have none, so they come from tasks.
func visible(html []byte) []byte {
	if !utf8.Valid(html) {
		html = bytes.ToValidUTF8(html, []byte("\uFFFD"))
	}
	var b bytes.Buffer
	b.Grow(len(html))
	for _, r := range string(html) {
		if isInvisible(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

// isInvisible reports whether a character is shown as an escape. The joiners of scripts and emoji stay.
func isInvisible(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	if r < unicode.MaxASCII {
		return r < ' ' && r != '\n' && r != '\t' && r != '\r'
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != joiner && r != nonJoiner
}

// Texts that are longer are cut, with a link to the whole.
const (
	mostText = 4000 // bytes of a result, an error or a request
	mostLine = 300  // of what stands in a table
)

// cut returns a text with at most n bytes, and whether it was longer.
func cut(text string, n int) (string, bool) {
	if len(text) <= n {
		return text, false
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n], true
}

// line returns a text for a table: one that is too long ends in an ellipsis.
func line(text string) string {
	short, isCut := cut(text, mostLine)
	if isCut {
		return short + "…"
	}
	return short
}

// mostPiece is about how many characters of a name stay on one line, whatever the width of its column.
const mostPiece = 20

// pieces returns a name, such as a host, in the pieces between which a line may break: behind dots and underscores, and where a
// piece would be too long for a column. Browsers break behind hyphens by themselves.
func pieces(name string) (all []string) {
	name = line(name)
	begin, width := 0, 0
	for i, r := range name {
		if width >= mostPiece {
			all, begin, width = append(all, name[begin:i]), i, 0
		}
		width++
		if isInvisible(r) { // it is shown as an escape
			width += len(`\u202e`) - 1
		}
		if end := i + 1; (r == '.' || r == '_') && end < len(name) {
			all, begin, width = append(all, name[begin:end]), end, 0
		}
		if r == '-' {
			width = 0
		}
	}
	return append(all, name[begin:])
}

// mostPretty is up to how many bytes JSON is indented.
const mostPretty = 4 << 20

// pretty returns JSON with a line for each value. Anything else stays as it is.
func pretty(text []byte) string {
	var b bytes.Buffer
	if len(text) > mostPretty || json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}

// duration returns a duration as people say it: 1.2s, 42s, 3m 5s, 2h 10m, 3d 4h.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// grouped returns a number with commas: 12,345.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted returns a number of things: 1 task, 2 tasks.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}

// shellQuoted returns a text as one word of a shell.
func shellQuoted(text string) string {
	isPlain := func(r rune) bool {
		return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-=/:", r))
	}
	if text != "" && strings.TrimLeftFunc(text, isPlain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
