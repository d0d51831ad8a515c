package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// columnGap is the number of spaces between two columns.
const columnGap = 2

// mostPadding is the width to which columns are padded in a pipe. A single text of a megabyte must not make as much of each
// line.
const mostPadding = 64

// column is a column of a table.
type column struct {
	rank  int // the column with the highest rank is the first one to be left out
	least int // the width to which its texts may be cut; they are never cut if it is larger than they are
	paint func(row int, text string) string
}

// table is a table of printable texts.
type table struct {
	columns []column
	rows    [][]string
	key     int // the column that is never cut to make room for others, and never left out
	room    room
}

// lines returns the rows as lines. On a terminal, none is wider than it: the columns of the highest rank are left out, and
// the texts of the others are cut. A key that is too long for its column stands on a line of its own. In a pipe, a text that
// is very long moves the rest of its line to the right.
func (t table) lines() []string {
	widths := t.natural()
	if t.room.isTerminal() {
		widths = t.fit(widths)
	}
	var lines []string
	for i, row := range t.rows {
		if t.room.isTerminal() && runewidth.StringWidth(row[t.key]) > widths[t.key] {
			lines = append(lines, runewidth.Truncate(row[t.key], t.room.columns, "…"))
			row = slices.Clone(row)
			row[t.key] = ""
		}
		lines = append(lines, t.line(i, row, widths))
	}
	return lines
}

// natural returns the width that each column needs for its texts. On a terminal, a column of keys takes no more than half of
// it, or the width of a UUID, so that a single long key does not displace the other columns.
func (t table) natural() []int {
	const uuidWidth, others = 36, 24
	longest := max(min(uuidWidth, t.room.columns-others), t.room.columns/2)
	widths := make([]int, len(t.columns))
	for _, row := range t.rows {
		for i, cell := range row {
			switch width := runewidth.StringWidth(cell); {
			case !t.room.isTerminal():
				widths[i] = max(widths[i], min(width, mostPadding))
			case i != t.key || width <= longest:
				widths[i] = max(widths[i], width)
			}
		}
	}
	return widths
}

// fit returns the width of each column on a terminal, and 0 for one that is left out. The columns get what they need, the
// most important first. The one for which there is not enough room is cut, if it allows that, and the others are left out.
func (t table) fit(natural []int) []int {
	order := make([]int, len(t.columns))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(t.columns[a].rank, t.columns[b].rank) })
	widths, left := make([]int, len(t.columns)), t.room.columns+columnGap
	for _, i := range order {
		if natural[i] == 0 {
			continue
		}
		widths[i] = min(natural[i], left-columnGap)
		if widths[i] < min(natural[i], t.columns[i].least) {
			widths[i] = 0
			break
		}
		left -= widths[i] + columnGap
	}
	return widths
}

// line returns a row with its texts padded to the widths.
func (t table) line(number int, row []string, widths []int) string {
	var line strings.Builder
	end := 0 // of the last text; what follows is blank
	for i, cell := range row {
		if widths[i] == 0 {
			continue
		}
		if line.Len() > 0 {
			line.WriteString(strings.Repeat(" ", columnGap))
		}
		cut := cell
		if t.room.isTerminal() {
			cut = runewidth.Truncate(cell, widths[i], "…")
		}
		padding := strings.Repeat(" ", max(0, widths[i]-runewidth.StringWidth(cut)))
		if cut != "" && t.columns[i].paint != nil {
			cut = t.columns[i].paint(number, cut)
		}
		line.WriteString(cut)
		if cut != "" {
			end = line.Len()
		}
		line.WriteString(padding)
	}
	return line.String()[:end]
}
