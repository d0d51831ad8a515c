package forecast

import (
	"math"
	"slices"
	"time"
)

// Pace is how fast tasks have ended lately.
type Pace struct {
	Most int // tasks that are in progress at once; 0: not known

	now   time.Time
	ended []period        // from submission to the end, of those that ended within paceWindow
	runs  []time.Duration // how long tasks ran that ended last, in growing order

	// busy is when tasks ran, without overlaps, the earliest first. The rest of the time says nothing about the pace.
	busy []period
}

const (
	// paceWindow is as far as the pace looks back. It looks back no further than to have enoughEnds.
	paceWindow = time.Hour
	enoughEnds = 20

	// From fewer than these nothing follows.
	fewestEnds = 3
	fewestRuns = 3
)

// rate is how many tasks end in a minute: in slow minutes, on average, and in fast ones.
type rate struct{ slow, usual, fast float64 }

// rate returns how many tasks end in a minute. It returns false if too few have ended to say.
func (p Pace) rate() (rate, bool) {
	ago := p.agos()
	if len(ago) < fewestEnds {
		return p.rateOfRuns()
	}
	span := p.busySince(p.now.Add(-paceWindow))
	for _, window := range []time.Duration{5 * time.Minute, 15 * time.Minute} {
		if within := slices.IndexFunc(ago, func(d time.Duration) bool { return d > window }); within >= enoughEnds {
			ago, span = ago[:within], min(window, span)
			break
		}
	}
	span = max(span, time.Second)
	count := float64(len(ago))
	r := rate{usual: count / span.Minutes()}
	noise := 1 / math.Sqrt(count)
	slow, fast := halves(ago, span)
	r.slow = max(min(slow, r.usual*(1-noise)), r.usual/4)
	r.fast = max(fast, r.usual*(1+noise))
	return p.bounded(r), true
}

// PerMinute returns how many tasks have ended in a minute lately, or 0 if too few have to say.
func (p Pace) PerMinute() float64 {
	r, ok := p.rate()
	if !ok || len(p.ended) < fewestEnds {
		return 0
	}
	return r.usual
}

// agos returns for each end how long tasks have run since then, the last end first.
func (p Pace) agos() []time.Duration {
	all := make([]time.Duration, 0, len(p.ended))
	for _, e := range p.ended {
		all = append(all, p.busySince(e.to))
	}
	slices.Sort(all)
	return all
}

// busySince returns for how long tasks have run since a moment.
func (p Pace) busySince(moment time.Time) (d time.Duration) {
	for _, b := range slices.Backward(p.busy) {
		if !b.to.After(moment) {
			break
		}
		from := b.from
		if from.Before(moment) {
			from = moment
		}
		d += b.to.Sub(from)
	}
	return d
}

// halves returns the ends a minute of the slower half of the minutes, and of the faster half.
func halves(ago []time.Duration, span time.Duration) (slow, fast float64) {
	minutes := make([]float64, int(span/time.Minute))
	if len(minutes) < 2 {
		usual := float64(len(ago)) / span.Minutes()
		return usual, usual
	}
	for _, d := range ago {
		if minute := int(d / time.Minute); minute < len(minutes) {
			minutes[minute]++
		}
	}
	slices.Sort(minutes)
	half := len(minutes) / 2
	return mean(minutes[:half]), mean(minutes[len(minutes)-half:])
}

// bounded returns the rate within what the limit allows: tasks that ended in one burst began in one as well.
func (p Pace) bounded(r rate) rate {
	most, ok := p.rateOfRuns()
	if !ok || r.usual <= most.usual {
		return r
	}
	factor := most.usual / r.usual
	return rate{slow: r.slow * factor, usual: most.usual, fast: r.fast * factor}
}

// rateOfRuns returns the rate that follows from the limit and from how long tasks run.
func (p Pace) rateOfRuns() (rate, bool) {
	if p.Most < 1 || len(p.runs) < fewestRuns {
		return rate{}, false
	}
	var total time.Duration
	for _, run := range p.runs {
		total += max(run, time.Millisecond)
	}
	usual := float64(p.Most) * float64(len(p.runs)) / total.Minutes()
	return rate{slow: usual / 2, usual: usual, fast: usual * 1.5}, true
}

// After returns how long it takes until so many more tasks have ended.
func (p Pace) After(tasks int) (Spread, bool) {
	r, ok := p.rate()
	if !ok {
		return Spread{}, false
	}
	minutes := func(perMinute float64) time.Duration {
		const longest = 10 * 365 * 24 * time.Hour
		return time.Duration(min(float64(tasks)/perMinute*float64(time.Minute), float64(longest)))
	}
	return Spread{minutes(r.fast), minutes(r.usual), minutes(r.slow)}, true
}

// Rest returns how much longer the last of some tasks runs that have run for so long, if they are like those that ran for
// longer.
func (p Pace) Rest(elapsed time.Duration, tasks int) (Spread, bool) {
	first, _ := slices.BinarySearch(p.runs, elapsed+1)
	longer := p.runs[first:]
	if len(longer) < fewestRuns {
		return Spread{}, false
	}
	at := func(share float64) time.Duration {
		share = math.Pow(share, 1/float64(max(tasks, 1))) // of the longest run of so many
		return longer[int(math.Round(share*float64(len(longer)-1)))] - elapsed
	}
	return Spread{at(0.1), at(0.5), at(0.9)}, true
}

// mean returns the average.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
