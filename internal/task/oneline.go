package task

import "strings"

// OneLine returns a text from elsewhere as one line, in UTF-8 and without control characters: of more than limit bytes it keeps
// so many, and adds an ellipsis.
func OneLine(text string, limit int) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(truncate(text, limit), "\ufffd"))
	return strings.TrimSpace(text)
}
