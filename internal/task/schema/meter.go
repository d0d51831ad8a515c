package schema

import (
	"errors"
	"math"
)

// Steps: one takes about a microsecond. A verdict depends on them and never on the clock, so that it is the same on a
// machine that is busy or was stopped.
const (
	baseSteps  = 250_000 // that every check may take
	valueSteps = 25      // more of them for each value that is checked, and one for two bytes
	quickSteps = 20_000  // of a job that need not wait for the large ones
	opsPerStep = 64      // operations of a pattern's search
)

// maxErrorMemory bounds the violations that are kept at once, in bytes, by the size that one has at least.
const (
	maxErrorMemory = 16 << 20
	errorSize      = 300
)

var (
	// errCostly: the check was broken off.
	errCostly = errors.New("it takes too long to check")
	// errLong: the job needs more than quickSteps and starts again among the large ones.
	errLong = errors.New("it takes more than a moment")
)

// meter counts the steps of a job and the violations it keeps. Where there are too many it panics with errCostly or
// errLong: the validator can be left in no other way.
type meter struct {
	left    int // steps of this check
	quick   int // steps of the whole job before it counts as large
	ops     int // less than opsPerStep
	kept    int // violations that are kept now, at most
	maxKept int

	instance *decoder // of the value that is checked
}

// newMeter returns a meter for a job that may take so many steps before it counts as large.
func newMeter(quick int) *meter {
	return &meter{left: math.MaxInt, quick: quick, maxKept: maxErrorMemory / errorSize}
}

// start begins the check of an instance.
func (m *meter) start(in measure) {
	m.left = baseSteps + valueSteps*in.values + in.length/2
	m.kept, m.maxKept = 0, maxErrorMemory/(errorSize+16*in.depth)
}

func (m *meter) spend(steps int) {
	if m.quick -= steps; m.quick < 0 {
		panic(errLong)
	}
	if m.left -= steps; m.left < 0 {
		panic(errCostly)
	}
}

// op counts operations of a pattern's search.
func (m *meter) op(n int) {
	if m.ops += n; m.ops >= opsPerStep {
		m.spend(m.ops / opsPerStep)
		m.ops %= opsPerStep
	}
}

// keep counts violations that are kept.
func (m *meter) keep(violations int) {
	if m.kept += violations; m.kept > m.maxKept {
		panic(errCostly)
	}
}
