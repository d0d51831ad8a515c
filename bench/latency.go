package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
)

// latencyTasks are the tasks of one run, one after the other.
const latencyTasks = 300

// delays are what the tasks of one run waited for, in milliseconds.
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
	return []figure.Row{
		row("request stored → POST arrives, median", 2, 0.5, before),
		row("request stored → POST arrives, p99", 10, 0.99, before),
		row("poll answered → event stored, median", 2, 0.5, after),
		row("poll answered → event stored, p99", 10, 0.99, after),
	}, nil
}

// delays runs n tasks through an idle contender, each when the one before has ended.
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
		if err := next(ctx, events); err != nil {
			return d, err
		}
	}
	return w.readDelays(ctx, n)
}

func next(ctx context.Context, events *nats.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if _, err := events.NextMsgWithContext(ctx); err != nil {
		return fmt.Errorf("wait for an event: %w", err)
	}
	return nil
}

// readDelays reads them from the events and from the stand-in's notes: all clocks are this machine's. The
// first task, which meets a contender that is still starting, does not count.
func (w *world) readDelays(ctx context.Context, n int) (d delays, err error) {
	var times map[string]standin.Times
	if err := w.askAPI(ctx, "/_bench/times", &times); err != nil {
		return d, err
	}
	s, err := w.js.Stream(ctx, resultStream)
	if err != nil {
		return d, fmt.Errorf("look at the events: %w", err)
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
		at := times[event.ID]
		d.before = append(d.before, milliseconds(at.Posted-event.Stored.UnixNano()))
		d.after = append(d.after, milliseconds(msg.Time.UnixNano()-at.Answered))
	}
	return d, nil
}

func milliseconds(nanos int64) float64 { return float64(nanos) / 1e6 }
