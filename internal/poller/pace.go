package poller

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Ages of tasks are counted in bins, four per doubling of the age. The first bin ends at 50 ms. The last begins at about
// 20 hours and has no end.
const (
	ageBins       = 84
	firstAge      = 0.05 // seconds
	binsPerDouble = 4
)

const (
	// enoughEnds is how many tasks of a kind must end before the interval depends on their ages.
	enoughEnds = 20

	// remembered is about how many ends count: earlier ones have faded.
	remembered = 200

	// relearnAfter is the number of ends between two calls of learn.
	relearnAfter = remembered / 20

	// doubt is the weight of the prior, in tasks per bin: without any observation, tasks end at a hazard of one per
	// e-fold of their age.
	doubt = 0.03

	// sooner is about the mean detection delay, as a fraction of that with the growing interval.
	sooner = 0.45
)

// pace sets the intervals between polls for workflows of one kind, by the ages at which others ended: a
// poll is due when the delay to expect without it is worth a call. docs/adr/0005-learned-polling.md has the
// reasoning. Many waits use a pace at once.
type pace struct {
	cfg Config

	mu      sync.Mutex
	ends    [ageBins]float64 // tasks that ended at that age; guarded by mu
	ran     [ageBins]float64 // seconds that tasks were seen to run at that age; guarded by mu
	hazards [ageBins]float64 // ends per second and running task at that age, when last learned; guarded by mu
	worth   float64          // of a call, in seconds of delay; guarded by mu
	seen    int              // ends so far; guarded by mu
}

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

// running records that a workflow was found running at two ages, one poll after the other.
func (p *pace) running(before, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	eachBin(before, now, func(bin int, seconds float64) { p.ran[bin] += seconds })
}

// ended records that a workflow ended between two ages. Its end is divided among the bins between them, by the
// probability of each as known so far.
func (p *pace) ended(after, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hazards float64
	eachBin(after, now, func(bin int, seconds float64) { hazards += p.hazard(bin) * seconds })
	// The probability of an end between the two ages. Expm1 is exact for the small hazards of a short gap.
	whole := -math.Expm1(-hazards)
	left, survive := 1.0, 1.0
	eachBin(after, now, func(bin int, seconds float64) {
		survives := survive * math.Exp(-p.hazard(bin)*seconds)
		ends := (survive - survives) / whole
		// The part that ended in this bin ran for half of it, on average.
		p.ran[bin] += seconds * (left - ends/2)
		p.ends[bin] += ends
		left, survive = left-ends, survives
	})
	p.seen++
	if p.seen%relearnAfter == 0 {
		p.learn()
	}
}

// hazard returns the rate, per second, at which workflows of an age end. Without observations it is 1
// divided by the age, as doubt says. The caller holds mu.
func (p *pace) hazard(bin int) float64 {
	width, middle := widthOf(bin), middleOf(bin)
	return (p.ends[bin] + doubt*width/middle) / (p.ran[bin] + doubt*width)
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

// learn computes hazards and worth from the observations, and lets those fade. The caller holds mu.
func (p *pace) learn() {
	var growing, steady float64 // means over the ages at which workflows end: of the growing interval, and of 1/√hazard
	survive := 1.0
	for bin := range ageBins {
		h := p.hazard(bin)
		survives := survive * math.Exp(-h*widthOf(bin))
		growing += (survive - survives) * p.cfg.growing(middleOf(bin))
		steady += (survive - survives) / math.Sqrt(h)
		survive = survives
		p.hazards[bin] = h
	}
	// Gaps of c/√hazard have a mean delay of c/2 times steady, and at a steady hazard h are those for which
	// the delay to expect, h·gap²/2, is c²/2.
	c := sooner * growing / steady
	p.worth = c * c / 2
	// An end that 200 others followed counts for about a third.
	const fade = 1 - float64(relearnAfter)/remembered
	for bin := range ageBins {
		p.ends[bin] *= fade
		p.ran[bin] *= fade
	}
}

// interval returns the time from one poll to the next at an age, ± 10 %: the growing interval until enough tasks have
// ended. It is never shorter than the shortest.
func (p *pace) interval(age time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap, shortest := p.cfg.growing(age.Seconds()), p.cfg.Interval.Seconds()
	if p.seen >= enoughEnds {
		// The age may be negative, if two workers know the server's time differently.
		gap, shortest = p.gap(max(age.Seconds(), 0)), p.cfg.shortest()
	}
	return seconds(max(gap*(0.9+0.2*rand.Float64()), shortest))
}

// gap returns the time from an age until the delay to expect is worth a call, in seconds, but at most POLL_MAX_INTERVAL.
// The caller holds mu.
func (p *pace) gap(age float64) float64 {
	at, last := age, age+p.cfg.MaxInterval.Seconds()
	// The fraction of the tasks that still run, and the delay that a call is still worth.
	runs, left := 1.0, p.worth
	for bin := binOf(age); bin < ageBins && at < last; bin++ {
		h, span := p.hazards[bin], min(edge(bin+1), last)-at
		if delay(runs, h, span) >= left {
			return at + reach(runs, h, span, left) - age
		}
		left -= delay(runs, h, span)
		runs *= math.Exp(-h * span)
		at += span
	}
	return last - age
}

// delay returns the mean detection delay over all tasks after a span at a hazard. runs is the fraction of the tasks that
// still run when the span begins.
func delay(runs, hazard, span float64) float64 {
	return span + runs*math.Expm1(-hazard*span)/hazard
}

// reach returns the span after which the delay is this long, by Newton's method from above.
func reach(runs, hazard, span, long float64) float64 {
	const steps = 12 // the first ones halve it, the others double the digits
	for range steps {
		span -= (delay(runs, hazard, span) - long) / (1 - runs*math.Exp(-hazard*span))
	}
	return span
}

// seconds returns a number of seconds as a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// growing returns the interval at an age before anything is learned: a fifth of the age, within the bounds of the
// settings, in seconds.
func (c Config) growing(age float64) float64 {
	return min(max(age/5, c.Interval.Seconds()), c.MaxInterval.Seconds())
}

// shortest returns the shortest gap between two polls of a task, in seconds.
func (c Config) shortest() float64 { return c.Interval.Seconds() / 4 }

// maxKinds bounds the kinds with a pace of their own, about 2 KiB each.
const maxKinds = 256

// paces holds the paces of the maxKinds kinds that were used last. The others are forgotten: their kinds
// start over with the growing interval.
type paces struct {
	cfg Config

	mu     sync.Mutex
	byKind map[string]*usedPace // guarded by mu
	uses   uint64               // guarded by mu
}

// usedPace is a pace, and when it was used.
type usedPace struct {
	pace
	used uint64 // paces.uses when a wait of the kind last began; guarded by paces.mu
}

// of returns the pace of a kind for a new wait.
func (p *paces) of(kind string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.byKind[kind]
	if found == nil {
		if len(p.byKind) >= maxKinds {
			p.evict()
		}
		found = &usedPace{pace: pace{cfg: p.cfg}}
		p.byKind[strings.Clone(kind)] = found // the kind may be part of a large request
	}
	p.uses++
	found.used = p.uses
	return &found.pace
}

// evict removes the kind that was used least recently. Waits of that kind keep the pace that they have. The caller holds
// mu.
func (p *paces) evict() {
	var oldest string
	least := uint64(math.MaxUint64)
	for kind, pace := range p.byKind {
		if pace.used < least {
			oldest, least = kind, pace.used
		}
	}
	delete(p.byKind, oldest)
}
