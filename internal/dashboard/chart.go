package dashboard

import (
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/board"
)

const (
	chartMinutes = 360
	binMinutes   = 5
	chartHeight  = 100 // units of the drawing
	binWidth     = 10
)

// chart shows how many tasks ended in each five minutes of the last hours.
type chart struct {
	Bins   []bin
	Most   int // in one bin
	Width  int
	Height int
	Label  string // for those who do not see it
	Times  []time.Time
}

// bin is a column of the chart, with its parts in units of the drawing.
type bin struct {
	Start             time.Time
	Succeeded, Failed int
	X, Width          int
	GoodY, GoodHeight float64
	BadY, BadHeight   float64
	Title             string
}

// chartOf returns the chart of some minutes, the oldest first.
func chartOf(minutes []board.Minute) chart {
	c := chart{Height: chartHeight}
	succeeded, failed := 0, 0
	for i, m := range minutes {
		if i%binMinutes == 0 {
			c.Bins = append(c.Bins, bin{Start: m.Start, X: len(c.Bins) * binWidth, Width: binWidth - 2})
		}
		b := &c.Bins[len(c.Bins)-1]
		b.Succeeded += m.Succeeded
		b.Failed += m.Failed
		succeeded, failed = succeeded+m.Succeeded, failed+m.Failed
		c.Most = max(c.Most, b.Succeeded+b.Failed)
	}
	c.Width = len(c.Bins) * binWidth
	for i := range c.Bins {
		c.Bins[i].draw(c.Most)
	}
	const marks = 4
	for i := range marks { // from edge to edge
		c.Times = append(c.Times, minutes[0].Start.Add(time.Duration(i*len(minutes)/(marks-1))*time.Minute))
	}
	c.Label = fmt.Sprintf("Ended in the last %d hours: %s succeeded, %s failed; at most %s in %d minutes", chartMinutes/60, grouped(succeeded), grouped(failed), grouped(c.Most), binMinutes)
	return c
}

// draw places the parts of a column: successes from the bottom up, failures on top of them.
func (b *bin) draw(most int) {
	scale := float64(chartHeight) / float64(max(most, 1))
	b.GoodHeight, b.BadHeight = scale*float64(b.Succeeded), scale*float64(b.Failed)
	b.GoodY = chartHeight - b.GoodHeight
	b.BadY = b.GoodY - b.BadHeight
	b.Title = fmt.Sprintf("%s: %s succeeded, %s failed", b.Start.Local().Format("15:04"), grouped(b.Succeeded), grouped(b.Failed))
}

// bar is a whole with its parts side by side.
type bar struct {
	Label    string
	Segments []segment
}

// segment is a part of a bar, in percent of the whole.
type segment struct {
	Class    string
	Count    int
	X, Width float64
}

// with returns the bar with these parts of a whole. Parts beyond the whole are cut.
func (b bar) with(whole int, parts ...segment) bar {
	x := 0.0
	for _, p := range parts {
		if p.Count <= 0 || whole <= 0 {
			continue
		}
		p.X, p.Width = x, min(100*float64(p.Count)/float64(whole), 100-x)
		x += p.Width
		b.Segments = append(b.Segments, p)
	}
	return b
}
