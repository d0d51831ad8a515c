// Package figure holds the results of the benchmarks: numbers that were measured in turn, and the goals for them.
package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Row is one quantity, measured once in each round.
type Row struct {
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Of     string    `json:"of"`               // the program that was measured, as in "worker"
	Values []float64 `json:"values"`           // by round
	Than   string    `json:"than,omitempty"`   // what it is compared with, as in "floor"; absent: nothing
	Others []float64 `json:"others,omitempty"` // the values of that, measured in the same rounds
	Goal   Goal      `json:"goal,omitzero"`

	// Headline is what the number says to a reader, as in "tasks a second". Absent: the row is no headline.
	Headline string `json:"headline,omitempty"`
}

// Goal bounds the ratio if the row has one, and the value otherwise. A bound of 0 is none.
type Goal struct {
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`

	OfValue bool `json:"of_value,omitempty"` // bounds the value even if the row has a ratio
}

// Ratios returns value over other, by round. The two were measured one right after the other, so that the load of
// the machine affects both.
func (r Row) Ratios() []float64 {
	var all []float64
	for i := range min(len(r.Values), len(r.Others)) {
		all = append(all, r.Values[i]/r.Others[i])
	}
	return all
}

// Judged returns the number that the goal bounds.
func (r Row) Judged() float64 {
	if r.Than != "" && !r.Goal.OfValue {
		return Median(r.Ratios())
	}
	return Median(r.Values)
}

// Met reports whether the goal is reached. A number below 0 reaches none: a quantity cannot be negative, so its
// measurement was not valid.
func (r Row) Met() bool {
	v := r.Judged()
	return v >= 0 && v >= r.Goal.Least && (r.Goal.Most == 0 || v <= r.Goal.Most)
}

// bound writes the goal, as in "≥ 0.80".
func (g Goal) bound() string {
	switch {
	case g.Least != 0:
		return "≥ " + Short(g.Least)
	case g.Most != 0:
		return "≤ " + Short(g.Most)
	default:
		return ""
	}
}

// Median returns the middle of the values, and NaN for none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the value that a part q of the values, from 0 to 1, does not exceed. It interpolates between
// neighbors.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Short writes a number with three digits or more, and a comma between thousands.
func Short(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case size >= 10_000:
		return thousands(int64(math.Round(v)))
	case size >= 100:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func thousands(n int64) string {
	if n < 1000 && n > -1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), max(n, -n)%1000)
}
