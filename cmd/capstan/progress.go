package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// progress is a bar on standard error. Where that is not a terminal that can overwrite a line, it shows nothing.
type progress struct {
	t        *terminal
	label    string
	isShown  bool
	began    time.Time
	lastDraw time.Time
}

// barWidth is the width of the bar in columns, without its numbers, on a terminal that is wide enough.
const barWidth = 30

// drawEvery is the least time between two drawings.
const drawEvery = 100 * time.Millisecond

// newProgress returns a bar that is not drawn yet.
func newProgress(t *terminal, label string) *progress {
	return &progress{t: t, label: label, isShown: t.err == os.Stderr && canRedraw(os.Stderr), began: time.Now()}
}

// canRedraw reports whether lines that were written to a file can be replaced: it is a terminal that understands how.
func canRedraw(file *os.File) bool {
	return isatty.IsTerminal(file.Fd()) && os.Getenv("TERM") != "dumb"
}

// show draws the bar, unless it was drawn a moment ago.
func (p *progress) show(done, all int) {
	now := time.Now()
	if !p.isShown || all == 0 || now.Sub(p.lastDraw) < drawEvery && done < all {
		return
	}
	p.lastDraw = now
	counts := fmt.Sprintf("%d/%d  %.0f/s", done, all, float64(done)/max(now.Sub(p.began).Seconds(), 0.001))
	width := min(barWidth, roomOf(os.Stderr).columns-len(p.label)-len(" [] ")-len(counts)-1) // beyond the last column a line wraps
	filled := max(0, width) * done / all
	_, _ = fmt.Fprintf(p.t.err, "\r\x1b[K%s [%s%s] %s", p.label, strings.Repeat("#", filled), strings.Repeat(" ", max(0, width-filled)), counts)
}

// clear removes the bar.
func (p *progress) clear() {
	if !p.lastDraw.IsZero() {
		_, _ = fmt.Fprint(p.t.err, "\r\x1b[K")
	}
}

// taskCount is a number of tasks, for a sentence.
func taskCount(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

// byCount returns the keys of a count, the most frequent first and those of one number by name.
func byCount[K cmp.Ordered](counts map[K]int) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
