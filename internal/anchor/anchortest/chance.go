package anchortest

import (
	"math/rand/v2"
	"time"
)

// Chance is a fault that strikes a call with a probability from 0 to 1.
type Chance struct {
	Probability float64
	Fault       Fault
}

type callKind int

const (
	submitCall callKind = iota
	pollCall
)

// dice is guarded by the server's mutex. A nil one never strikes.
type dice struct {
	random  *rand.Rand
	submits []Chance
	polls   []Chance
}

func newDice(seed uint64, submits, polls []Chance) *dice {
	return &dice{random: rand.New(rand.NewPCG(seed, seed)), submits: submits, polls: polls}
}

// roll returns the fault that strikes a call, or none. One roll decides among all, so that the
// probabilities add up.
func (d *dice) roll(call callKind) Fault {
	if d == nil {
		return Fault{}
	}
	chances := d.submits
	if call == pollCall {
		chances = d.polls
	}
	rolled := d.random.Float64()
	for _, c := range chances {
		if rolled < c.Probability {
			return c.Fault
		}
		rolled -= c.Probability
	}
	return Fault{}
}

// window counts the submissions of the current minute.
type window struct {
	began time.Time
	taken int
}

// take takes one of the minute's submissions, or returns for how long there is none. A limit of 0 is none.
func (w *window) take(limit int, now time.Time) (wait time.Duration) {
	if limit == 0 {
		return 0
	}
	if now.Sub(w.began) >= time.Minute {
		w.began, w.taken = now, 0
	}
	if w.taken >= limit {
		return w.began.Add(time.Minute).Sub(now)
	}
	w.taken++
	return 0
}
