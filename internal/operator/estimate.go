package operator

import (
	"math"
	"slices"
	"time"
)

// Estimate is when something is likely to happen.
type Estimate struct {
	At      time.Time `json:"at,omitzero"`
	From    time.Time `json:"from,omitzero"`     // hardly earlier
	To      time.Time `json:"to,omitzero"`       // hardly later
	Unknown string    `json:"unknown,omitempty"` // why nothing can be said; the times are zero then
}

// IsKnown reports whether there is a time.
func (e Estimate) IsKnown() bool { return !e.At.IsZero() }

// spread is a duration that is not known exactly.
type spread struct{ least, likely, most time.Duration }

// after returns the estimate that lies so far ahead of a moment.
func (s spread) after(moment time.Time) Estimate {
	return Estimate{At: moment.Add(s.likely), From: moment.Add(s.least), To: moment.Add(s.most)}
}

// max returns the longer of each.
func (s spread) max(other spread) spread {
	return spread{max(s.least, other.least), max(s.likely, other.likely), max(s.most, other.most)}
}

// pace is how fast tasks have ended lately.
type pace struct {
	now   time.Time
	ended []period        // from submission to the end, of those that ended within paceWindow
	runs  []time.Duration // how long tasks ran that ended last, in growing order
	most  int             // tasks that are in progress at once; 0: not known

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

// pacePerMinute is how many tasks end in a minute: in slow minutes, on average, and in fast ones.
type pacePerMinute struct{ slow, usual, fast float64 }

// rate returns how many tasks end in a minute. It returns false if too few have ended to say.
func (p pace) rate() (pacePerMinute, bool) {
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
	r := pacePerMinute{usual: count / span.Minutes()}
	noise := 1 / math.Sqrt(count)
	slow, fast := halves(ago, span)
	r.slow = max(min(slow, r.usual*(1-noise)), r.usual/4)
	r.fast = max(fast, r.usual*(1+noise))
	return p.bounded(r), true
}

// PerMinute returns how many tasks have ended in a minute lately, or 0 if too few have to say.
func (p pace) perMinute() float64 {
	r, ok := p.rate()
	if !ok || len(p.ended) < fewestEnds {
		return 0
	}
	return r.usual
}

// agos returns for each end how long tasks have run since then, the last end first.
func (p pace) agos() []time.Duration {
	all := make([]time.Duration, 0, len(p.ended))
	for _, e := range p.ended {
		all = append(all, p.busySince(e.to))
	}
	slices.Sort(all)
	return all
}

// busySince returns for how long tasks have run since a moment.
func (p pace) busySince(moment time.Time) (d time.Duration) {
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
func (p pace) bounded(r pacePerMinute) pacePerMinute {
	most, ok := p.rateOfRuns()
	if !ok || r.usual <= most.usual {
		return r
	}
	factor := most.usual / r.usual
	return pacePerMinute{slow: r.slow * factor, usual: most.usual, fast: r.fast * factor}
}

// rateOfRuns returns the rate that follows from the limit and from how long tasks run.
func (p pace) rateOfRuns() (pacePerMinute, bool) {
	if p.most < 1 || len(p.runs) < fewestRuns {
		return pacePerMinute{}, false
	}
	var total time.Duration
	for _, run := range p.runs {
		total += max(run, time.Millisecond)
	}
	usual := float64(p.most) * float64(len(p.runs)) / total.Minutes()
	return pacePerMinute{slow: usual / 2, usual: usual, fast: usual * 1.5}, true
}

// after returns how long it takes until so many more tasks have ended.
func (p pace) after(tasks int) (spread, bool) {
	r, ok := p.rate()
	if !ok {
		return spread{}, false
	}
	minutes := func(perMinute float64) time.Duration {
		const longest = 10 * 365 * 24 * time.Hour
		return time.Duration(min(float64(tasks)/perMinute*float64(time.Minute), float64(longest)))
	}
	return spread{minutes(r.fast), minutes(r.usual), minutes(r.slow)}, true
}

// rest returns how much longer the last of some tasks runs that have run for so long, if they are like those that ran for
// longer.
func (p pace) rest(elapsed time.Duration, tasks int) (spread, bool) {
	first, _ := slices.BinarySearch(p.runs, elapsed+1)
	longer := p.runs[first:]
	if len(longer) < fewestRuns {
		return spread{}, false
	}
	at := func(share float64) time.Duration {
		share = math.Pow(share, 1/float64(max(tasks, 1))) // of the longest run of so many
		return longer[int(math.Round(share*float64(len(longer)-1)))] - elapsed
	}
	return spread{at(0.1), at(0.5), at(0.9)}, true
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// period is the time from one moment to another.
type period struct{ from, to time.Time }

// union returns the periods without overlaps, the earliest first. It changes the order of its argument.
func union(all []period) (merged []period) {
	slices.SortFunc(all, func(a, b period) int { return a.from.Compare(b.from) })
	for _, p := range all {
		last := len(merged) - 1
		switch {
		case last < 0 || p.from.After(merged[last].to):
			merged = append(merged, p)
		case p.to.After(merged[last].to):
			merged[last].to = p.to
		}
	}
	return merged
}
