// Package figure is what the benchmarks say: rows of numbers that were measured in turn, and what is wanted
// of them.
package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Row is one thing that was measured, once in each round.
type Row struct {
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Of     string    `json:"of"`               // whose the values are: "worker"
	Values []float64 `json:"values"`           // by round
	Than   string    `json:"than,omitempty"`   // what it is held against: "floor"; absent: nothing
	Others []float64 `json:"others,omitempty"` // its values, measured in the same rounds
	Goal   Goal      `json:"goal,omitzero"`
}

// Goal is what is wanted: of the ratio where the row has one, else of the value. A bound of 0 is none.
type Goal struct {
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`

	OfValue bool `json:"of_value,omitempty"` // of the value, also where there is a ratio
}

// Value is the median of the values.
func (r Row) Value() float64 { return Median(r.Values) }

// Other is the median of what it is held against.
func (r Row) Other() float64 { return Median(r.Others) }

// Ratios are value over other, by round. A ratio is of two things that were measured one right after the
// other, so that what the machine does besides meets both.
func (r Row) Ratios() []float64 {
	var all []float64
	for i := range min(len(r.Values), len(r.Others)) {
		all = append(all, r.Values[i]/r.Others[i])
	}
	return all
}

// Judged is what the goal is about.
func (r Row) Judged() float64 {
	if r.Than != "" && !r.Goal.OfValue {
		return Median(r.Ratios())
	}
	return r.Value()
}

// Met reports whether the goal is reached; a row without one has nothing to reach.
func (r Row) Met() bool {
	v := r.Judged()
	return (r.Goal.Least == 0 || v >= r.Goal.Least) && (r.Goal.Most == 0 || v <= r.Goal.Most)
}

// Bound says the goal: "≥ 0.85".
func (g Goal) Bound() string {
	switch {
	case g.Least != 0 && g.Most != 0:
		return Short(g.Least) + " to " + Short(g.Most)
	case g.Least != 0:
		return "≥ " + Short(g.Least)
	case g.Most != 0:
		return "≤ " + Short(g.Most)
	default:
		return ""
	}
}

// Median is the one in the middle; of none it is not a number.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the value that a part q, 0 to 1, of the values does not exceed, between neighbors in
// proportion.
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

// Spread says between which bounds the values lie: "0.81–0.90".
func Spread(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return Short(slices.Min(values)) + "–" + Short(slices.Max(values))
}

// Short writes a number with three digits, and thousands apart.
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
