package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
)

// latencyTasks is the number of tasks in a run, one after the other.
const latencyTasks = 300

// delays are the delays of the tasks of one run, in milliseconds.
type delays struct{ before, after []float64 }

func latency(ctx context.Context, l *lab) ([]figure.Row, error) {
	n := latencyTasks
	if l.tasks > 0 {
		n = l.tasks
	}
	var all [2][]delays
	for round := range l.rounds {
		for i, c := range l.contenders() {
			d, err := l.delays(ctx, c, n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Printf("round %d  %-6s  stored to POST %.2f ms, answer to event %.2f ms\n", round+1, c.name, figure.Median(d.before), figure.Median(d.after))
			all[i] = append(all[i], d)
		}
	}
	row := func(what string, most, q float64, of func(delays) []float64) figure.Row {
		value := func(d delays) float64 { return figure.Quantile(of(d), q) }
		return figure.Row{
			What: what, Unit: "ms", Goal: figure.Goal{Most: most, OfValue: true},
			Of: "worker", Values: each(all[0], value), Than: "floor", Others: each(all[1], value),
		}
	}
	before, after := func(d delays) []float64 { return d.before }, func(d delays) []float64 { return d.after }
	rows := []figure.Row{
		row("request stored → POST arrives, median", 2, 0.5, before),
		row("request stored → POST arrives, p99", 10, 0.99, before),
		row("poll answered → event stored, median", 2, 0.5, after),
		row("poll answered → event stored, p99", 10, 0.99, after),
	}
	rows[0].Headline = "from a stored request to its POST, if the worker is idle"
	return rows, nil
}

// delays runs n tasks through an idle contender. Each is published when the one before has finished.
func (l *lab) delays(ctx context.Context, c contender, n int) (d delays, err error) {
	w, err := l.newWorld(ctx, standin.Config{Times: true})
	defer w.close()
	if err != nil {
		return d, err
	}
	if _, err := w.launch(ctx, c.name, c.program, quickPolls()...); err != nil {
		return d, err
	}
	events, err := w.nc.SubscribeSync("tasks.result")
	if err != nil {
		return d, fmt.Errorf("subscribe: %w", err)
	}
	for i := range n {
		if _, err := w.js.Publish(ctx, requestSubject, request(fmt.Sprintf("task-%07d", i))); err != nil {
			return d, fmt.Errorf("publish: %w", err)
		}
		if _, err := events.NextMsg(startTime); err != nil {
			return d, fmt.Errorf("wait for an event: %w", err)
		}
	}
	return w.readDelays(ctx, n)
}

// readDelays computes the delays from the events and the times that the stand-in noted: all clocks are this
// machine's. The first task does not count, because the contender is still starting.
func (w *world) readDelays(ctx context.Context, n int) (d delays, err error) {
	times, err := w.times(ctx)
	if err != nil {
		return d, err
	}
	s, err := w.js.Stream(ctx, resultStream)
	if err != nil {
		return d, fmt.Errorf("read the events: %w", err)
	}
	for seq := 2; seq <= n; seq++ {
		msg, err := s.GetMsg(ctx, uint64(seq))
		if err != nil {
			return d, fmt.Errorf("read event %d: %w", seq, err)
		}
		var event struct {
			ID     string    `json:"task_id"`
			Stored time.Time `json:"requested_at"`
		}
		if err := json.Unmarshal(msg.Data, &event); err != nil {
			return d, fmt.Errorf("read event %d: %w", seq, err)
		}
		noted := times[event.ID]
		d.before = append(d.before, milliseconds(noted.Posted-event.Stored.UnixNano()))
		d.after = append(d.after, milliseconds(msg.Time.UnixNano()-noted.Answered))
	}
	return d, nil
}

func milliseconds(nanos int64) float64 { return float64(nanos) / 1e6 }
