package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
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
		{"log-normal, σ 0.25", "narrow", 0.44, logNormal(2, 0.25)},
		{"log-normal, σ 0.5", "wide", 0.73, logNormal(2, 0.5)},
		{"log-normal, σ 1", "wider", 0.95, logNormal(2, 1)},
		{"0.8 s and 6 s, 70:30, σ 0.2", "mixed", 0.44, func(r *rand.Rand) time.Duration {
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

// cost is the cost of noticing the ends of tasks.
type cost struct {
	calls  float64   // of a task, on average
	delays []float64 // from the end of each task to the answer that reported it, in milliseconds
}

func (c cost) mean() float64 {
	sum := 0.0
	for _, d := range c.delays {
		sum += d
	}
	return sum / float64(len(c.delays))
}

func (c cost) product() float64 { return c.calls * c.mean() }

func (c cost) p95() float64 { return figure.Quantile(c.delays, 0.95) }

func polls(ctx context.Context, l *lab) ([]figure.Row, error) {
	worker, fixed := make([][]cost, len(workloads())), make([][]cost, len(workloads()))
	for round := range l.rounds {
		w, f, err := l.pollCosts(ctx, round)
		if err != nil {
			return nil, err
		}
		for i, load := range workloads() {
			worker[i], fixed[i] = append(worker[i], w[i]), append(fixed[i], f[i])
			fmt.Printf("round %d  %-8s %.2f of a fixed interval's calls × delay\n", round+1, load.agent, w[i].product()/f[i].product())
		}
	}
	var rows []figure.Row
	for i, load := range workloads() {
		row := func(what, unit string, most float64, value func(cost) float64) {
			rows = append(rows, figure.Row{
				What: load.name + ": " + what, Unit: unit, Of: "worker", Values: each(worker[i], value),
				Than: "fixed interval", Others: each(fixed[i], value), Goal: figure.Goal{Most: most},
			})
		}
		row(fmt.Sprintf("calls × delay, at best %.2f", load.optimum), "ms a task", nearBest*load.optimum, cost.product)
		row("mean delay", "ms", 0, cost.mean)
		row("p95 of the delay", "ms", 1.5, cost.p95)
	}
	return rows, nil
}

// pollCosts has the worker run all workloads at once, and returns its cost for each and that of a fixed interval.
func (l *lab) pollCosts(ctx context.Context, round int) (worker, fixed []cost, err error) {
	settings := []string{
		"POLL_INTERVAL=" + shortestInterval.String(), "POLL_MAX_INTERVAL=" + longestInterval.String(),
		fmt.Sprintf("MAX_IN_FLIGHT=%d", pollsHeld*10/9+1),
	}
	w, err := l.newWorld(ctx, standin.Config{Times: true}, settings...)
	defer w.close()
	if err != nil {
		return nil, nil, err
	}
	loads, random := workloads(), rand.New(rand.NewPCG(uint64(round+1), 1))
	err = w.publish(ctx, pollTasks*len(loads), func(i int) []byte {
		load := loads[i%len(loads)]
		id := pollTask(load, i/len(loads))
		return fmt.Appendf(nil, `{"task_id":%q,"url":"https://example.com/","agent":%q,"prompt":"%s %s and done"}`, id, load.agent, id, load.run(random))
	})
	if err != nil {
		return nil, nil, err
	}
	p, err := w.startWorker(ctx, "worker", settings...)
	if err != nil {
		return nil, nil, err
	}
	if err := w.finish(ctx, p, pollTasks*len(loads)); err != nil {
		return nil, nil, err
	}
	if worker, err = w.pollCost(ctx, ""); err != nil {
		return nil, nil, err
	}
	if err := w.replay(ctx, worker); err != nil {
		return nil, nil, err
	}
	fixed, err = w.pollCost(ctx, "fixed-")
	return worker, fixed, err
}

func pollTask(load workload, number int) string { return fmt.Sprintf("%s-%d", load.agent, number) }

// pollCost returns the cost of each workload, for the tasks whose ids have this prefix.
func (w *world) pollCost(ctx context.Context, prefix string) ([]cost, error) {
	times, err := w.times(ctx)
	if err != nil {
		return nil, err
	}
	var all []cost
	for _, load := range workloads() {
		var c cost
		for i := pollLearn; i < pollTasks; i++ {
			noted := times[prefix+pollTask(load, i)]
			c.calls += float64(noted.Polls) / (pollTasks - pollLearn)
			c.delays = append(c.delays, milliseconds(noted.Answered-noted.Posted-noted.Run))
		}
		all = append(all, c)
	}
	return all, nil
}

// replay runs the counted tasks again, with a loop that polls at a fixed interval. For each workload the interval is
// twice the worker's mean delay, so that the mean delay of the loop is the same. A busy machine delays both.
func (w *world) replay(ctx context.Context, worker []cost) error {
	times, err := w.times(ctx)
	if err != nil {
		return err
	}
	client, err := anchor.New(anchor.Config{APIKey: "bench", BaseURL: w.apiURL, RequestTimeout: startTime}, "bench", prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer client.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pollsHeld)
	for i := pollLearn; i < pollTasks; i++ {
		for k, load := range workloads() {
			id := pollTask(load, i)
			body := fmt.Appendf(nil, `{"async":true,"prompt":"fixed-%s %s and done"}`, id, time.Duration(times[id].Run))
			interval := time.Duration(2 * worker[k].mean() * float64(time.Millisecond))
			group.Go(func() error { return submitAndPoll(ctx, client, body, interval) })
		}
	}
	return group.Wait()
}

func submitAndPoll(ctx context.Context, client *anchor.Client, body []byte, interval time.Duration) error {
	id, err := client.Submit(ctx, "", body)
	for err == nil {
		if err = process.Pass(ctx, interval); err != nil {
			break
		}
		var workflow task.Workflow
		if workflow, err = client.Status(ctx, id, anchor.MaxAnswer); workflow.Ended() {
			break
		}
	}
	return err
}
