package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

// grownTasks are run in each round. As many are added before it, so that no fewer requests wait.
const grownTasks = 10_000

// coldAfter is how long a queue waits before its worker starts: NATS keeps in memory for 10 s what it has written, so
// that all queues have to be read from files.
const coldAfter = 12 * time.Second

// amount is what a queue has to carry along.
type amount struct {
	name     string
	requests int // that wait
	records  int // of tasks that have ended
}

func amounts() []amount {
	return []amount{
		{name: "1,000 requests wait", requests: 1000},
		{name: "100,000 requests wait", requests: 100_000},
		{name: "1,000,000 requests wait", requests: 1_000_000},
		{name: "1,000,000 finished records", requests: 1000, records: 1_000_000},
	}
}

// growing is what one run with an amount came to.
type growing struct {
	rate   float64 // tasks a second
	memory float64 // resident MiB of the worker
	start  float64 // ms from the start of the process to the first event
}

func growth(ctx context.Context, l *lab) ([]figure.Row, error) {
	all := amounts()
	var worlds []*world
	defer func() {
		for _, w := range worlds {
			w.close()
		}
	}()
	for _, a := range all {
		w, err := l.grow(ctx, a)
		worlds = append(worlds, w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
	}
	runs := make([][]growing, len(all))
	for round := range l.rounds {
		for i, a := range all {
			if err := worlds[i].fill(ctx, fmt.Sprintf("round-%d", round), grownTasks); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
		}
		if err := process.Pass(ctx, coldAfter); err != nil {
			return nil, err
		}
		for i, a := range all {
			g, err := worlds[i].grown(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
			fmt.Printf("round %d  %-27s %6.0f tasks/s, %3.0f MiB, first event after %4.0f ms\n", round+1, a.name, g.rate, g.memory, g.start)
			runs[i] = append(runs[i], g)
		}
	}
	var rows []figure.Row
	for i, a := range all[1:] {
		row := func(what, unit string, goal figure.Goal, value func(growing) float64) {
			rows = append(rows, figure.Row{
				What: a.name + ": " + what, Unit: unit, Goal: goal, Of: a.name, Values: each(runs[i+1], value), Than: all[0].name, Others: each(runs[0], value),
			})
		}
		row("throughput", "tasks/s", figure.Goal{Least: 0.8}, func(g growing) float64 { return g.rate })
		row("memory of the worker", "MiB", figure.Goal{Most: 1.2}, func(g growing) float64 { return g.memory })
		row("start to first event", "ms", figure.Goal{Most: 1.2}, func(g growing) float64 { return g.start })
	}
	return rows, nil
}

// grow makes a world with an amount in it.
func (l *lab) grow(ctx context.Context, a amount) (*world, error) {
	w, err := l.newWorld(ctx, standin.Config{})
	if err != nil {
		return w, err
	}
	err = w.publish(ctx, a.records, func(i int) *nats.Msg {
		id := fmt.Sprintf("past-%07d", i)
		return &nats.Msg{Subject: "$KV.task_tracker." + id, Data: pastRecord(id, i), Header: nats.Header{"Nats-TTL": {"168h"}}}
	})
	if err != nil {
		return w, err
	}
	err = w.fill(ctx, "waiting", a.requests)
	return w, err
}

// pastRecord is the record of a task that has ended, as a worker leaves it.
func pastRecord(id string, seq int) []byte {
	const at = "2026-01-02T03:04:05.678901234Z"
	return fmt.Appendf(nil, `{"task_id":%q,"state":"succeeded","owner":"worker","epoch":1,"request_seq":%d,"digest":"%064x","workflow_id":"perform-web-task-execution-%074x",`+
		`"attempts":1,"polls":1,"requested_at":%q,"submitted_at":%q,"finished_at":%q,"updated_at":%q,"result_seq":%d}`, id, seq+1, seq, seq, at, at, at, at, seq+1)
}

// grown lets a worker run some of the tasks and measures.
func (w *world) grown(ctx context.Context, round int) (g growing, err error) {
	before, err := w.messages(ctx, resultStream)
	if err != nil {
		return g, err
	}
	if _, err := w.js.ResumeConsumer(ctx, requestStream, consumerName); err != nil {
		return g, fmt.Errorf("resume: %w", err)
	}
	began := time.Now()
	p, err := w.launch(ctx, fmt.Sprintf("worker-%d", round+1), w.worker, quickPolls()...)
	if err != nil {
		return g, err
	}
	last := before + grownTasks
	err = process.Until(ctx, fmt.Sprintf("%d events are stored", last), 2*time.Minute, func() error {
		events, err := w.messages(ctx, resultStream)
		if err == nil && events < last {
			err = fmt.Errorf("%d are", events)
		}
		return err
	})
	if err != nil {
		return g, err
	}
	if g.memory, err = memoryOf(p); err != nil {
		return g, err
	}
	g.memory /= 1 << 20
	first, err := w.storedAt(ctx, before+1)
	if err != nil {
		return g, err
	}
	g.start = milliseconds(first.Sub(began).Nanoseconds())
	if g.rate, err = w.rate(ctx, before+grownTasks/10, last); err != nil {
		return g, err
	}
	if err := w.letGo(ctx); err != nil {
		return g, err
	}
	return g, w.stop(ctx, p)
}

// letGo lets a worker end all tasks that it has and gives it no more. Else the next would take them over, which takes
// longer than a new task.
func (w *world) letGo(ctx context.Context) error {
	if _, err := w.js.PauseConsumer(ctx, requestStream, consumerName, time.Now().Add(time.Hour)); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return process.Until(ctx, "the worker has nothing to do", time.Minute, func() error {
		c, err := w.js.Consumer(ctx, requestStream, consumerName)
		if err != nil {
			return err
		}
		if held := c.CachedInfo().NumAckPending; held > 0 {
			return fmt.Errorf("it holds %d requests", held)
		}
		return nil
	})
}
