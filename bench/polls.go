package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// A tenth of the default POLL_INTERVAL and POLL_MAX_INTERVAL.
	shortestInterval = 200 * time.Millisecond
	longestInterval  = 1500 * time.Millisecond

	pollTasks = 1200 // of each workload
	pollLearn = 400  // the first tasks of each workload, from which the worker learns; they do not count
	pollsHeld = 800  // tasks in progress at once
	nearBest  = 1.15 // how far above the optimum the worker may be
)

// workload is a kind of task and a distribution of run times.
type workload struct {
	name    string
	agent   string  // a worker learns about each agent separately
	optimum float64 // the least possible product of calls and mean delay, as a ratio to a fixed interval's
	run     func(r *rand.Rand) time.Duration
}

// workloads returns all of them. The optimum is (∫√(S·f))²/E[T] for run times T with the density f, where S is the
// share that outlasts an age: docs/design.md.
func workloads() []workload {
	short, long := logNormal(0.8, 0.2), logNormal(6, 0.2)
	return []workload{
		{"log-normal, σ 0.25", "browser-use", 0.44, logNormal(2, 0.25)},
		{"log-normal, σ 0.5", "openai-cua", 0.73, logNormal(2, 0.5)},
		{"log-normal, σ 1", "gemini-computer-use", 0.95, logNormal(2, 1)},
		{"0.8 s and 6 s, 70:30, σ 0.2", "yutori", 0.44, func(r *rand.Rand) time.Duration {
			if r.IntN(10) < 7 {
				return short(r)
			}
			return long(r)
		}},
	}
}

// logNormal is a distribution with this median in seconds, and this deviation of the logarithm.
func logNormal(median, sigma float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(median * math.Exp(sigma*r.NormFloat64()) * float64(time.Second))
	}
}

// polls has the worker run all workloads at once, and compares its cost for each with that of a fixed interval.
func polls(ctx context.Context, l *lab) {
	for round := range l.rounds {
		random := rand.New(rand.NewPCG(uint64(round+1), 1))
		runs := make([][]time.Duration, len(workloads())) // of each workload's tasks
		for range pollTasks {
			for i, load := range workloads() {
				runs[i] = append(runs[i], load.run(random))
			}
		}
		logs := l.runWorkloads(ctx, runs)
		for i, load := range workloads() {
			var worker cost
			for number := pollLearn; number < pollTasks; number++ {
				log := logs[pollTask(load, number)]
				worker.add(log.Polls, log.Answered.Sub(log.Ended))
			}
			// A fixed interval delays by half of it.
			fixed := fixedInterval(runs[i][pollLearn:], time.Duration(2*worker.mean()*float64(time.Millisecond)))
			l.addCosts(load, worker, fixed)
		}
	}
}

// runWorkloads runs tasks with these run times, by workload, and returns what the stand-in noted of each.
func (l *lab) runWorkloads(ctx context.Context, runs [][]time.Duration) map[string]anchortest.Log {
	settings := []string{
		"POLL_INTERVAL=" + shortestInterval.String(), "POLL_MAX_INTERVAL=" + longestInterval.String(),
		fmt.Sprintf("MAX_IN_FLIGHT=%d", pollsHeld*10/9+1),
	}
	w := l.newWorld(ctx, settings...)
	defer w.close()
	n := pollTasks * len(runs)
	w.publish(ctx, n, func(i int) []byte {
		load, number := workloads()[i%len(runs)], i/len(runs)
		return request(pollTask(load, number), load.agent, &anchortest.Plan{Run: runs[i%len(runs)][number]})
	})
	w.reach(ctx, w.startWorker(ctx, "worker", settings...), n)
	return process.Must(w.api.Logs(ctx))
}

func pollTask(load workload, number int) string { return fmt.Sprintf("%s-%d", load.agent, number) }

// cost is the cost of noticing the ends of tasks.
type cost struct {
	calls  int
	delays []float64 // from the end of each task to the answer that reported it, in milliseconds
}

func (c *cost) add(calls int, delay time.Duration) {
	c.calls += calls
	c.delays = append(c.delays, milliseconds(delay))
}

func (c *cost) mean() float64 {
	sum := 0.0
	for _, d := range c.delays {
		sum += d
	}
	return sum / float64(len(c.delays))
}

// product returns the calls of a task times its delay, both on average.
func (c *cost) product() float64 { return float64(c.calls) / float64(len(c.delays)) * c.mean() }

// fixedInterval returns the cost of a loop that polls tasks with these run times, and needs no time for a call.
func fixedInterval(runs []time.Duration, interval time.Duration) (c cost) {
	for _, run := range runs {
		calls := math.Ceil(float64(run) / float64(interval))
		c.add(int(calls), time.Duration(calls*float64(interval))-run)
	}
	return c
}

func (l *lab) addCosts(load workload, worker, fixed cost) {
	for _, row := range []struct {
		what, unit string
		most       float64
		value      func(*cost) float64
	}{
		{fmt.Sprintf("calls × delay, at best %.2f", load.optimum), "ms a task", nearBest * load.optimum, (*cost).product},
		{"mean delay", "ms", 0, (*cost).mean},
		{"p95 of the delay", "ms", 1.5, func(c *cost) float64 { return figure.Quantile(c.delays, 0.95) }},
	} {
		r := figure.Row{What: load.name + ": " + row.what, Unit: row.unit, Goal: figure.Goal{Most: row.most}}
		l.add("worker", row.value(&worker), r)
		l.add("fixed interval", row.value(&fixed), r)
	}
}
