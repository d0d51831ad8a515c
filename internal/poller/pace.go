package poller

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// enoughEnds is how many tasks of a kind must end before the interval depends on their ages.
	enoughEnds = 8

	// fewWaits is how many tasks of a kind are polled at the shortest interval before anything is learned. If more begin
	// together, polls at half that rate tell as much.
	fewWaits = 8

	// remembered is about how many ends count: earlier ones have faded.
	remembered = 200

	// relearnAfter is the number of ends between two calls of learn, once as many have ended.
	relearnAfter = remembered / 20

	// doubt is the weight of the prior, in tasks per bin. Without any observation, half of the tasks run longer than
	// halfLife shortest intervals, and tasks end at a hazard of 1 divided by that time and their age.
	doubt    = 0.03
	halfLife = 10

	// sooner is about the mean detection delay, as a fraction of that with the growing interval.
	sooner = 0.45
)

// pace sets the intervals between polls for workflows of one kind, by the ages at which others ended: a
// poll is due when the delay to expect without it is worth a call. docs/adr/0005-learned-polling.md has the
// reasoning. Many waits use a pace at once.
type pace struct {
	cfg Config

	mu      sync.Mutex
	waits   int              // that have begun; guarded by mu
	shared  learned          // what the workers know, as of the last exchange; guarded by mu
	sent    learned          // what this worker adds with an exchange under way; guarded by mu
	own     learned          // what it will add with the next one; guarded by mu
	unsure  uint64           // see written; guarded by mu
	hazards [ageBins]float64 // ends per second and running task at that age, when last computed; guarded by mu
	worth   float64          // of a call, in seconds of delay; guarded by mu
}

// begin records that a wait begins.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits++
}

// running records that a workflow was found running at two ages, one poll after the other.
func (p *pace) running(before, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	eachBin(before, now, func(bin int, seconds float64) { p.own.Ran[bin] += seconds })
}

// ended records that a workflow ended between two ages. Its end is divided among the bins between them, by the
// probability of each as known so far.
func (p *pace) ended(after, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared.fade(1)
	p.sent.fade(1)
	p.own.fade(1)
	var hazards float64
	eachBin(after, now, func(bin int, seconds float64) { hazards += p.hazard(bin) * seconds })
	// The probability of an end between the two ages. Expm1 is exact for the small hazards of a short gap.
	whole := -math.Expm1(-hazards)
	left, survive := 1.0, 1.0
	eachBin(after, now, func(bin int, seconds float64) {
		survives := survive * math.Exp(-p.hazard(bin)*seconds)
		ends := (survive - survives) / whole
		// The part that ended in this bin ran for half of it, on average.
		p.own.Ran[bin] += seconds * (left - ends/2)
		p.own.Ends[bin] += ends
		left, survive = left-ends, survives
	})
	p.own.Seen++
	if p.seen() <= relearnAfter || p.own.Seen%relearnAfter == 0 {
		p.learn()
	}
}

// seen returns how many ends the pace knows. The caller holds mu.
func (p *pace) seen() int { return p.shared.Seen + p.sent.Seen + p.own.Seen }

// hazard returns the rate, per second, at which workflows of an age end. Without observations it is as doubt says. The
// caller holds mu.
func (p *pace) hazard(bin int) float64 {
	width := widthOf(bin)
	prior := 1 / (halfLife*p.cfg.Interval.Seconds() + middleOf(bin))
	ends := p.shared.Ends[bin] + p.sent.Ends[bin] + p.own.Ends[bin]
	ran := p.shared.Ran[bin] + p.sent.Ran[bin] + p.own.Ran[bin]
	return (ends + doubt*width*prior) / (ran + doubt*width)
}

// learn computes hazards and worth from the observations. The caller holds mu.
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
}

// interval returns the time from one poll to the next at an age, ± 10 %: the growing interval until enough tasks have
// ended, and at least twice the shortest one if many wait for that. It is never shorter than the shortest.
func (p *pace) interval(age time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap, shortest := p.cfg.growing(age.Seconds()), p.cfg.Interval.Seconds()
	switch {
	case p.seen() >= enoughEnds:
		// The age may be negative, if two workers know the server's time differently.
		gap, shortest = p.gap(max(age.Seconds(), 0)), p.cfg.shortest()
	case p.waits > fewWaits:
		gap = max(gap, min(2*shortest, p.cfg.MaxInterval.Seconds()))
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
