package poller

import (
	"math"
	"time"
)

// Ages of tasks are counted in bins, four per doubling of the age. The first bin ends at 50 ms. The last begins at about
// 20 hours and has no end.
const (
	ageBins       = 84
	firstAge      = 0.05 // seconds
	binsPerDouble = 4
)

// edge returns the age at which a bin begins, in seconds.
func edge(bin int) float64 {
	switch bin {
	case 0:
		return 0
	case ageBins:
		return math.MaxFloat64
	default:
		return firstAge * math.Exp2(float64(bin-1)/binsPerDouble)
	}
}

// binOf returns the bin of an age in seconds.
func binOf(age float64) int {
	if age < firstAge {
		return 0
	}
	return min(1+int(math.Log2(age/firstAge)*binsPerDouble), ageBins-1)
}

// eachBin calls f with each bin of a span of ages, and with the seconds of the span in that bin.
func eachBin(from, to time.Duration, f func(bin int, seconds float64)) {
	a, b := from.Seconds(), to.Seconds()
	for bin := binOf(a); bin < ageBins && a < b; bin++ {
		if end := min(edge(bin+1), b); end > a {
			f(bin, end-a)
			a = end
		}
	}
}

// widthOf returns the width of a bin in seconds. The last bin has no end: it counts as twice its edge.
func widthOf(bin int) float64 {
	if bin == ageBins-1 {
		return edge(bin)
	}
	return edge(bin+1) - edge(bin)
}

// middleOf returns the age in the middle of a bin, in seconds.
func middleOf(bin int) float64 { return edge(bin) + widthOf(bin)/2 }
