package jsonschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// In JSON that json.Indent has written, a line break stands only between two values, never in a text.
var (
	// flatList is a list without objects and lists in it, as far as no text in it contains a bracket.
	flatList  = regexp.MustCompile(`\[\n[^\[\]{}]*\n *\]`)
	lineBreak = regexp.MustCompile(`\n *`)
)

// Format returns a value as JSON for people and for version control: indented, lists of texts and numbers on one line, in
// ASCII, and with a line break at its end. The error says that the value cannot be written as JSON.
func Format(value any) ([]byte, error) {
	var compact, indented bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	text := flatList.ReplaceAllStringFunc(indented.String(), func(list string) string {
		return "[" + strings.TrimSpace(lineBreak.ReplaceAllString(list[1:len(list)-1], " ")) + "]"
	})
	return inASCII(text), nil
}

// inASCII writes every other character of JSON as an escape: a pattern may contain spaces that nobody sees.
func inASCII(text string) []byte {
	ascii := make([]byte, 0, len(text))
	for _, char := range text {
		if char < 0x7f {
			ascii = utf8.AppendRune(ascii, char)
			continue
		}
		for _, unit := range utf16.Encode([]rune{char}) {
			ascii = fmt.Appendf(ascii, `\u%04x`, unit)
		}
	}
	return ascii
}
