// Package memory divides the memory that a worker may use, so that neither requests nor answers can use all of it. What
// does not fit into its share waits.
//
// The limit is GOMEMLIMIT or, if that is not set, 90 % of the memory of the control group or of the machine. It is
// divided like this; the last column is for a container of 512 MiB, whose limit is 460 MiB:
//
//	answers   30 %  138 MiB  large answers to status calls, until their events are stored
//	requests  20 %   92 MiB  requests: whole until they are submitted, then what their events need of them
//	polls     10 %   46 MiB  small answers to status calls, until their events are stored
//	checks    10 %   46 MiB  values that are checked against a schema
//	index      5 %   23 MiB  the index of stored events
//	          25 %  115 MiB  not reserved: the runtime, the NATS client's buffers, records, and the stacks of tasks
package memory

import (
	"fmt"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// limitRatio is the part of the memory that Go's heap and stacks may use.
const limitRatio = 0.9

// SetLimit sets the runtime's memory limit and returns it in bytes: GOMEMLIMIT if that is set, else 90 % of the memory
// of the control group or, if that has no limit, of the machine.
func SetLimit() (int64, error) {
	limit, err := memlimit.Set(
		memlimit.WithRatio(limitRatio),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
	)
	if err != nil {
		return 0, fmt.Errorf("find out how much memory there is: %w", err)
	}
	return limit, nil
}

// Budgets are the shares of a worker's memory; the package comment describes them.
type Budgets struct {
	Requests *Budget
	Polls    *Budget
	Answers  *Budget
	Checks   *Budget
	Index    *Budget
}

// Divide returns the shares of a limit in bytes.
func Divide(limit int64) Budgets {
	percent := func(share int64) *Budget { return NewBudget(limit / 100 * share) }
	return Budgets{Requests: percent(20), Polls: percent(10), Answers: percent(30), Checks: percent(10), Index: percent(5)}
}

// Register adds two gauges for each share: its size, and how much of it is reserved.
func (b Budgets) Register(reg prometheus.Registerer) {
	auto := promauto.With(reg)
	for share, budget := range map[string]*Budget{
		"requests": b.Requests, "polls": b.Polls, "answers": b.Answers, "checks": b.Checks, "index": b.Index,
	} {
		labels := prometheus.Labels{"share": share}
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "capstan_memory_budget_bytes", Help: "Memory that may be reserved, by share.", ConstLabels: labels,
		}, func() float64 { return float64(budget.Size()) })
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "capstan_memory_reserved_bytes", Help: "Memory that is reserved, by share.", ConstLabels: labels,
		}, func() float64 { return float64(budget.Reserved()) })
	}
}
