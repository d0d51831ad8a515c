// Package memory divides the memory that a worker may use, so that neither a request nor an answer can use
// up all of it: what does not fit into its share waits.
package memory

import (
	"fmt"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// ofLimit is the part of the memory there is that Go's heap and stacks may take.
const ofLimit = 0.9

// SetLimit makes the runtime keep to a limit and returns it, in bytes: GOMEMLIMIT where that is set, else
// 90 % of the memory of the control group or, where that has no limit, of the machine.
func SetLimit() (int64, error) {
	limit, err := memlimit.Set(
		memlimit.WithRatio(ofLimit),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
	)
	if err != nil {
		return 0, fmt.Errorf("find out how much memory there is: %w", err)
	}
	return limit, nil
}

// Budgets are the shares of a worker's memory, by what they are for. What is left is for everything else:
// the runtime, the NATS client's buffers, and the records and timers of the tasks.
type Budgets struct {
	Requests *Budget // requests: whole until they are submitted, then what their events need of them
	Polls    *Budget // small answers to status calls, until their events are stored
	Answers  *Budget // the same for large answers
	Checks   *Budget // values that are checked against a schema
	Index    *Budget // the index of stored events
}

// Divide returns the shares of a limit in bytes.
func Divide(limit int64) Budgets {
	percent := func(share int64) *Budget { return NewBudget(limit / 100 * share) }
	return Budgets{Requests: percent(20), Polls: percent(10), Answers: percent(30), Checks: percent(10), Index: percent(5)}
}
