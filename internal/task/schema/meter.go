package schema

import (
	"errors"
	"math"
)

// The budget, in steps. A step takes about a microsecond. Verdicts depend on steps and never on the clock, so that they are
// the same on a machine that is busy or was suspended.
const (
	baseSteps  = 250_000 // for every check
	valueSteps = 25      // more for each JSON value in the instance, and one more for two bytes of it
	// Steps of a job that need not wait for the large ones.
	smallSteps = 20_000
	opsPerStep = 64 // operations of a pattern's search
)

// The violations that a check holds at the same time are bounded by their number: each takes at least errorSize bytes, and
// 16 for each level of its place.
const (
	maxErrorMemory = 16 << 20
	errorSize      = 300
)

var (
	// errCostly means that a check was stopped. It is a part of the verdict.
	errCostly = errors.New("it takes too long to check")
	// errLong means that a small job needs more than smallSteps. It runs again as a large one.
	errLong = errors.New("it takes more than a moment")
)

// meter counts the steps of a job and the violations that it holds. If there are too many it panics with
// errCostly or errLong, because there is no other way to stop the validator. compile and check recover. A
// meter belongs to one job, and so to one goroutine.
type meter struct {
	// Steps that this check may still take. There is no bound until start sets one.
	left int
	// Steps that the whole job may still take before it counts as large.
	leftSmall int
	// Operations that do not make up a step yet: fewer than opsPerStep.
	ops int
	// Upper bound of the violations that are held now.
	kept    int
	maxKept int

	// Decodes the instance; nil while the schema is compiled.
	instance *decoder
}

// newMeter returns a meter for a job that counts as large after this many steps. Compiling a schema has no
// other bound of steps, since measureSchema has bounded its size.
func newMeter(small int) *meter {
	return &meter{left: math.MaxInt, leftSmall: small, maxKept: maxErrorMemory / errorSize}
}

// start sets the budget for the check of an instance.
func (m *meter) start(in measure) {
	m.left = baseSteps + valueSteps*in.values + in.length/2
	m.kept, m.maxKept = 0, maxErrorMemory/(errorSize+16*in.depth)
}

// spend counts steps. It panics with errLong or errCostly if there are none left.
func (m *meter) spend(steps int) {
	if m.leftSmall -= steps; m.leftSmall < 0 {
		panic(errLong)
	}
	if m.left -= steps; m.left < 0 {
		panic(errCostly)
	}
}

// op counts operations of a pattern's search, each a fraction of a step.
func (m *meter) op(n int) {
	if m.ops += n; m.ops >= opsPerStep {
		m.spend(m.ops / opsPerStep)
		m.ops %= opsPerStep
	}
}

// keep counts violations that are held from now on. It panics with errCostly if they are too many.
func (m *meter) keep(violations int) {
	if m.kept += violations; m.kept > m.maxKept {
		panic(errCostly)
	}
}
