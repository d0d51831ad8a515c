package figure

import (
	"fmt"
	"os"
	"strings"
)

// The marks in a document between which Document writes.
const (
	headlinesMark = "<!-- headlines: written by make bench -->\n"
	tablesMark    = "<!-- tables: written by make bench -->\n"
	endMark       = "<!-- end -->\n"
)

// Document writes the headlines and the tables of the reports into a document in Markdown, between its marks.
func Document(file string, reports []Report) error {
	var headlines, tables strings.Builder
	for _, r := range reports {
		for _, row := range r.Rows {
			if row.Headline != "" {
				fmt.Fprintf(&headlines, "* **%s %s** %s\n", Short(Median(row.Values)), row.Unit, row.Headline)
			}
		}
		tables.WriteString("\n" + r.Table())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	document := string(text)
	for _, part := range []struct{ mark, text string }{{headlinesMark, headlines.String()}, {tablesMark, tables.String() + "\n"}} {
		before, rest, begins := strings.Cut(document, part.mark)
		_, after, ends := strings.Cut(rest, endMark)
		if !begins || !ends {
			return fmt.Errorf("%s has no %q with an end", file, strings.TrimSpace(part.mark))
		}
		document = before + part.mark + part.text + endMark + after
	}
	if err := os.WriteFile(file, []byte(document), 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}
