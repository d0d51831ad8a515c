package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// workload is a kind of task and how long those take, a tenth of what real ones do.
type workload struct {
	name  string
	agent string  // of its own: what is learned of one workload is not used for another
	least float64 // calls times mean delay against a fixed interval's, at best; 0: there is no such figure
	tasks int
	skip  int // of these: not counted
	run   func(r *rand.Rand, i int) time.Duration
}

// Tasks of one workload, and how many of them a worker may learn from before it is measured.
const (
	steadyTasks, steadySkip = 1200, 400
	shiftTasks, shiftAfter  = 900, 600
)

// steady are the workloads that stay as they are. The least that is possible is (∫√(S·f))²/E[T] of what a fixed
// interval has, for run times T with the density f, of which S outlast an age: docs/design.md.
func steady() []workload {
	all := []workload{
		{name: "log-normal, σ 0.25", agent: "narrow", least: 0.44, run: logNormal(2, 0.25)},
		{name: "log-normal, σ 0.5", agent: "wide", least: 0.73, run: logNormal(2, 0.5)},
		{name: "log-normal, σ 1", agent: "wider", least: 0.95, run: logNormal(2, 1)},
		mixture(),
	}
	for i := range all {
		all[i].tasks, all[i].skip = steadyTasks, steadySkip
	}
	return all
}

// mixture is two kinds of task behind one agent.
func mixture() workload {
	short, long := logNormal(0.8, 0.2), logNormal(6, 0.2)
	return workload{name: "0.8 s and 6 s, 70:30, σ 0.2", agent: "mixed", least: 0.44, run: func(r *rand.Rand, i int) time.Duration {
		if r.IntN(10) < 7 {
			return short(r, i)
		}
		return long(r, i)
	}}
}

// shifting are workloads of which only those after the shift count.
func shifting() []workload {
	shift := func(before, after func(*rand.Rand, int) time.Duration) func(*rand.Rand, int) time.Duration {
		return func(r *rand.Rand, i int) time.Duration {
			if i < shiftAfter {
				return before(r, i)
			}
			return after(r, i)
		}
	}
	quick, slow := logNormal(2, 0.25), logNormal(6, 0.25)
	return []workload{
		{name: "2 s, then 6 s", agent: "longer", tasks: shiftTasks, skip: shiftAfter, run: shift(quick, slow)},
		{name: "6 s, then 2 s", agent: "shorter", tasks: shiftTasks, skip: shiftAfter, run: shift(slow, quick)},
		{name: "the mixture, then 2.5 s", agent: "between", tasks: shiftTasks, skip: shiftAfter, run: shift(mixture().run, logNormal(2.5, 0.2))},
	}
}

// logNormal are run times with this median in seconds, and this deviation of their logarithm.
func logNormal(median, sigma float64) func(*rand.Rand, int) time.Duration {
	return func(r *rand.Rand, _ int) time.Duration {
		return time.Duration(median * math.Exp(sigma*r.NormFloat64()) * float64(time.Second))
	}
}

// job is one task of a workload.
type job struct {
	workload
	number int
	run    time.Duration
}

// jobs draws the tasks of the workloads, one of each in turn. The same seed draws the same.
func jobs(all []workload, seed int) []job {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	var drawn []job
	for i := range steadyTasks {
		for _, w := range all {
			if i < w.tasks {
				drawn = append(drawn, job{workload: w, number: i, run: w.run(r, i)})
			}
		}
	}
	return drawn
}

// id names a job in an arm of the measurement.
func (j job) id(arm string) string { return fmt.Sprintf("%s-%s-%d", arm, j.agent, j.number) }

// request is a job as a task request. The stand-in reads the run time from the prompt.
func (j job) request(arm string) []byte {
	id := j.id(arm)
	return fmt.Appendf(nil, `{"task_id":%q,"url":"https://example.com/","agent":%q,"prompt":"%s %s and done"}`, id, j.agent, id, j.run)
}
