package request

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Template is a request with placeholders, as parts in their order.
type Template []templatePart

// templatePart is JSON that stays as it is, or a string with placeholders.
type templatePart struct {
	json   []byte  // if it is nil, the part is a string
	pieces []piece // of the string
}

// piece is a part of a string: a text that stays as it is, or the name of a column.
type piece struct{ text, column string }

// placeholder is the name of a column in braces.
var placeholder = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// ParseTemplate reads a request whose strings, at any depth, may have placeholders. What fills them becomes a part of the
// string, whatever it holds: a quote or a line break does not end it.
func ParseTemplate(text []byte) (Template, error) {
	text = WithoutBOM(text)
	if _, err := Parse(text); err != nil {
		return nil, fmt.Errorf("%w (a {{column}} must stand inside a string)", err)
	}
	var all Template
	dec, copied := newDecoder(text), 0
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return append(all, templatePart{json: text[copied:]}), nil
		}
		if err != nil {
			return nil, syntaxError(err)
		}
		if token.Kind() != '"' || !strings.Contains(token.String(), "{{") {
			continue
		}
		pieces, err := splitPlaceholders(token.String())
		if err == nil && isName(dec) {
			err = errors.New("has a {{column}} in the name of a member; only strings can have it")
		}
		if err != nil {
			return nil, err
		}
		end := int(dec.InputOffset())
		begin := beginOfString(text, copied, end)
		all = append(all, templatePart{json: text[copied:begin]}, templatePart{pieces: pieces})
		copied = end
	}
}

// isName reports whether the string that was just read is the name of a member.
func isName(dec *jsontext.Decoder) bool {
	container, length := dec.StackIndex(dec.StackDepth())
	return container == '{' && length%2 == 1
}

// beginOfString returns where the string begins that ends at this place of a JSON text. No string begins before from.
func beginOfString(text []byte, from, end int) int {
	inside, begin := false, from
	for i := from; i < end; i++ {
		switch {
		case inside && text[i] == '\\':
			i++
		case text[i] == '"':
			if inside = !inside; inside {
				begin = i
			}
		}
	}
	return begin
}

// splitPlaceholders splits a string at its placeholders.
func splitPlaceholders(text string) (pieces []piece, _ error) {
	rest := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		column := text[at[2]:at[3]]
		if column == "" {
			return nil, errors.New("has {{}} without the name of a column")
		}
		pieces = append(pieces, piece{text: text[rest:at[0]]}, piece{column: column})
		rest = at[1]
	}
	if strings.Contains(text[rest:], "{{") {
		return nil, fmt.Errorf("has {{ without }} in %.80q", text)
	}
	return append(pieces, piece{text: text[rest:]}), nil
}

// Columns returns the names of the columns that the template uses.
func (t Template) Columns() (names []string) {
	for _, part := range t {
		for _, p := range part.pieces {
			if p.column != "" {
				names = append(names, p.column)
			}
		}
	}
	return names
}

// Fill returns the request for the values of the columns.
func (t Template) Fill(value func(column string) string) []byte {
	var b []byte
	for _, part := range t {
		if part.pieces == nil {
			b = append(b, part.json...)
			continue
		}
		var text strings.Builder
		for _, p := range part.pieces {
			text.WriteString(p.text)
			if p.column != "" {
				text.WriteString(value(p.column))
			}
		}
		b = append(b, Quote(text.String())...)
	}
	return b
}
