package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
)

const (
	// A tenth of the default POLL_INTERVAL and POLL_MAX_INTERVAL.
	shortestGap = 200 * time.Millisecond
	longestGap  = 1500 * time.Millisecond

	// pollsAtOnce is how many tasks of all workloads run at once.
	pollsAtOnce = 800

	// nearLimit is how near to the least that is possible calls times delay should come.
	nearLimit = 1.15
)

// cost is what it took to notice the ends of one workload's tasks.
type cost struct {
	calls      float64 // a task
	delay, p95 float64 // from the end to the answer that told of it, in milliseconds
}

func (c cost) product() float64 { return c.calls * c.delay }

// costs are those of the workloads by their agents, in one round.
type costs struct{ worker, fixed, growing map[string]cost }

func polls(ctx context.Context, l *lab) ([]figure.Row, error) {
	var all []costs
	var waits []fairness
	for round := range l.rounds {
		c, err := l.pollCosts(ctx, round)
		if err != nil {
			return nil, err
		}
		f, err := l.fairness(ctx)
		if err != nil {
			return nil, err
		}
		for _, agent := range slices.Sorted(maps.Keys(c.worker)) {
			fmt.Printf("round %d  %-8s worker %.4g  fixed %.4g  growing %.4g\n", round+1, agent, c.worker[agent], c.fixed[agent], c.growing[agent])
		}
		fmt.Printf("round %d  rate %+v\n", round+1, f)
		all, waits = append(all, c), append(waits, f)
	}
	return append(pollRows(all), fairnessRow(waits)), nil
}

func pollRows(all []costs) []figure.Row {
	row := func(w workload, what, unit string, most float64, value func(cost) float64) figure.Row {
		return figure.Row{
			What: w.name + ": " + what, Unit: unit, Of: "worker", Values: each(all, func(c costs) float64 { return value(c.worker[w.agent]) }),
			Than: "fixed interval", Others: each(all, func(c costs) float64 { return value(c.fixed[w.agent]) }), Goal: figure.Goal{Most: most},
		}
	}
	grown := func(w workload, what, unit string, most float64, value func(cost) float64) figure.Row {
		r := row(w, what, unit, most, value)
		r.Than, r.Others = "growing interval", each(all, func(c costs) float64 { return value(c.growing[w.agent]) })
		return r
	}
	delay, p95 := func(c cost) float64 { return c.delay }, func(c cost) float64 { return c.p95 }
	var rows []figure.Row
	for _, w := range steady() {
		rows = append(rows,
			row(w, fmt.Sprintf("calls × delay, at best %.2f", w.least), "ms a task", nearLimit*w.least, cost.product),
			row(w, "mean delay", "ms", 0, delay),
			row(w, "p95 of the delay", "ms", 1.5, p95),
		)
	}
	for _, w := range append(shifting(), mixture()) {
		rows = append(rows,
			grown(w, "calls × delay", "ms a task", 1, cost.product),
			grown(w, "mean delay", "ms", 0, delay),
			grown(w, "p95 of the delay", "ms", 0, p95),
		)
	}
	return rows
}

// pollCosts lets the worker run all workloads, and then the loops, with the same run times.
func (l *lab) pollCosts(ctx context.Context, round int) (c costs, err error) {
	settings := []string{
		"POLL_INTERVAL=" + shortestGap.String(), "POLL_MAX_INTERVAL=" + longestGap.String(),
		fmt.Sprintf("MAX_IN_FLIGHT=%d", pollsAtOnce*10/9+1),
	}
	w, err := l.newWorld(ctx, standin.Config{Times: true}, settings...)
	defer w.close()
	if err != nil {
		return c, err
	}
	all := jobs(append(steady(), shifting()...), round+1)
	err = w.publish(ctx, len(all), func(i int) *nats.Msg {
		return &nats.Msg{Subject: requestSubject, Data: all[i].request("worker")}
	})
	if err != nil {
		return c, err
	}
	p, err := w.startWorker(ctx, "worker", settings...)
	if err != nil {
		return c, err
	}
	if err := w.settled(ctx, p, len(all)); err != nil {
		return c, err
	}
	if err := w.stop(ctx, p); err != nil {
		return c, err
	}
	if c.worker, err = w.costs(ctx, "worker", all); err != nil {
		return c, err
	}
	err = w.replayAll(ctx, all, &c)
	return c, err
}

// replayAll runs the loops that the worker is held against: for the steady workloads one with a fixed interval of
// twice the worker's mean delay, which has that delay as well; where it is the question, the growing one.
func (w *world) replayAll(ctx context.Context, all []job, c *costs) error {
	var again []replay
	var fixed, grown []job
	for _, j := range all {
		if j.least > 0 {
			interval := time.Duration(2 * c.worker[j.agent].delay * float64(time.Millisecond))
			again, fixed = append(again, replay{job: j, arm: "fixed", gap: every(interval)}), append(fixed, j)
		}
		if j.least == 0 || j.agent == mixture().agent {
			again, grown = append(again, replay{job: j, arm: "growing", gap: fifthOfAge}), append(grown, j)
		}
	}
	if err := w.loop(ctx, again, pollsAtOnce); err != nil {
		return err
	}
	var err, err2 error
	c.fixed, err = w.costs(ctx, "fixed", fixed)
	c.growing, err2 = w.costs(ctx, "growing", grown)
	return errors.Join(err, err2)
}

// costs reads from the stand-in's notes what an arm took.
func (w *world) costs(ctx context.Context, arm string, all []job) (map[string]cost, error) {
	var times map[string]standin.Times
	if err := w.askAPI(ctx, "/_bench/times", &times); err != nil {
		return nil, err
	}
	calls, delays := map[string]float64{}, map[string][]float64{}
	for _, j := range all {
		at := times[j.id(arm)]
		if at.Answered == 0 {
			return nil, fmt.Errorf("nobody was told that %s ended", j.id(arm))
		}
		if j.number < j.skip {
			continue
		}
		calls[j.agent] += float64(at.Polls)
		delays[j.agent] = append(delays[j.agent], milliseconds(at.Answered-at.Posted-at.Run))
	}
	found := map[string]cost{}
	for agent, late := range delays {
		c := cost{calls: calls[agent] / float64(len(late)), p95: figure.Quantile(late, 0.95)}
		for _, d := range late {
			c.delay += d / float64(len(late))
		}
		found[agent] = c
	}
	return found, nil
}
