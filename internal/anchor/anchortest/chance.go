package anchortest

import "math/rand/v2"

// Chance is a fault that strikes a call with a probability from 0 to 1. The probabilities of a list should
// add up to 1 at most: chances beyond that never strike.
type Chance struct {
	Probability float64
	Fault       Fault
}

// callKind is the kind of a call that faults can strike.
type callKind int

const (
	submitCall callKind = iota
	pollCall
	createCall // the other ones are about sessions
	getCall
	endCall
	listCall
)

// dice roll the random faults. The server's mutex guards them. Nil dice never strike.
type dice struct {
	random  *rand.Rand
	chances map[callKind][]Chance
	endings []endingChance
}

// endingChance is an ending that a workflow has with a probability from 0 to 1.
type endingChance struct {
	probability float64
	plan        Plan
}

// newDice returns dice with one list of chances for submissions and one for polls. Their sequence of
// numbers depends on the seed alone.
func newDice(seed uint64, submits, polls []Chance) *dice {
	return &dice{
		random:  rand.New(rand.NewPCG(seed, seed)),
		chances: map[callKind][]Chance{submitCall: submits, pollCall: polls},
	}
}

// roll returns the fault that strikes a call, or the zero Fault. A single random number decides among all chances, so
// that their probabilities add up.
func (d *dice) roll(call callKind) Fault {
	if d == nil {
		return Fault{}
	}
	rolled := d.random.Float64()
	for _, c := range d.chances[call] {
		if rolled < c.Probability {
			return c.Fault
		}
		rolled -= c.Probability
	}
	return Fault{}
}

// rollEnding returns the ending that a workflow gets, or the zero Plan.
func (d *dice) rollEnding() Plan {
	if d == nil || len(d.endings) == 0 {
		return Plan{}
	}
	rolled := d.random.Float64()
	for _, c := range d.endings {
		if rolled < c.probability {
			return c.plan
		}
		rolled -= c.probability
	}
	return Plan{}
}

// SessionChances are the random faults of the calls about sessions.
type SessionChances struct {
	Create []Chance // nil: those of submissions
	Get    []Chance
	End    []Chance
	List   []Chance
}

// WithRandomSessionFaults makes calls about sessions fail at random if neither an outage nor their plan has a fault for
// them. The same seed gives the same sequence of faults.
func WithRandomSessionFaults(seed uint64, c SessionChances) Option {
	return func(s *Server) {
		s.sessionDice = newDice(seed, nil, nil)
		s.sessionDice.chances = map[callKind][]Chance{createCall: c.Create, getCall: c.Get, endCall: c.End, listCall: c.List}
	}
}

// roll returns the random fault that strikes a call, or the zero Fault. The caller holds mu.
func (s *Server) roll(call callKind) Fault {
	switch {
	case call == submitCall, call == pollCall:
		return s.dice.roll(call)
	case s.sessionDice != nil && s.sessionDice.chances[call] != nil:
		return s.sessionDice.roll(call)
	case call == createCall:
		return s.dice.roll(submitCall)
	default:
		return Fault{}
	}
}
