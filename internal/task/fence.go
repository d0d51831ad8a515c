package task

import (
	"bytes"
	"slices"
	"strings"
)

// unfence returns the text without the blanks and without the Markdown fence around it, if it has one: three or more
// backticks or tildes, and at its end at least as many or, as in CommonMark 0.31, section 4.5, none at all. To Markdown a
// fence on a single line is none, but agents write it, so it is taken off as well.
func unfence(text []byte) []byte {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '`' && text[0] != '~' {
		return text
	}
	mark := string(text[0])
	inside := bytes.TrimLeft(text, mark)
	opening := len(text) - len(inside)
	if opening < 3 {
		return text
	}
	body := bytes.TrimRight(inside, mark)
	closing := len(inside) - len(body)
	info, rest, lines := bytes.Cut(body, []byte("\n"))
	switch {
	// The closing fence is too short, or a single line has none.
	case closing < opening && (closing > 0 || !lines):
		return text
	// The fence and its content are one line.
	case !lines:
		return bytes.TrimSpace(withoutLanguage(body))
	// No language has such a name: the content begins right after the fence.
	case bytes.ContainsAny(info, "`{}[]\""):
		return bytes.TrimSpace(body)
	default:
		return bytes.TrimSpace(rest)
	}
}

// withoutLanguage returns the content of a fence on a single line without the name of its language.
func withoutLanguage(line []byte) []byte {
	line = bytes.TrimSpace(line)
	// The name ends at a blank or where JSON begins, as in ```json{}```. Any other word is content.
	end := bytes.IndexAny(line, " \t{[\"")
	languages := []string{"json", "jsonc", "json5", "javascript", "js", "text", "txt", "plaintext"}
	if end > 0 && slices.Contains(languages, strings.ToLower(string(line[:end]))) {
		return line[end:]
	}
	return line
}
