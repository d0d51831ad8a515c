package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

func latency(ctx context.Context, l *lab) {
	l.compare(func(name, program string) {
		before, after := l.delays(ctx, name, program, l.tasksOr(300))
		add := func(what string, delays []float64, headline string) {
			l.add(name, figure.Median(delays), figure.Row{What: what + ", median", Unit: "ms", Goal: figure.Goal{Most: 2, OfValue: true}, Headline: headline})
			l.add(name, figure.Quantile(delays, 0.99), figure.Row{What: what + ", p99", Unit: "ms", Goal: figure.Goal{Most: 10, OfValue: true}})
		}
		add("request stored → POST arrives", before, "from a stored request to its POST, if the worker is idle")
		add("poll answered → event stored", after, "")
	})
}

// delays runs n tasks through worker or floor, which are idle. Each is published when the one before has finished. It returns the
// delays before the POST and after the answer to a poll, in milliseconds: all clocks are this machine's. The first task
// does not count, because the program is still starting.
func (l *lab) delays(ctx context.Context, name, program string, n int) (before, after []float64) {
	w := l.newWorld(ctx)
	defer w.close()
	consumer := process.Must(w.js.OrderedConsumer(ctx, resultStream, jetstream.OrderedConsumerConfig{}))
	events := process.Must(consumer.Messages())
	defer events.Stop()
	w.launch(ctx, name, program, quickPolls()...)
	for i := range n {
		w.publish(ctx, 1, func(int) []byte { return request(taskID(i), "", nil) })
		msg := process.Must(events.Next(jetstream.NextMaxWait(startTime)))
		var event struct {
			Requested time.Time `json:"requested_at"`
		}
		process.Check(json.Unmarshal(msg.Data(), &event))
		var log anchortest.Log
		process.Check(w.api.Get(ctx, "/_stand-in/log?task="+taskID(i), &log))
		if i > 0 {
			before = append(before, milliseconds(log.Posted.Sub(event.Requested)))
			after = append(after, milliseconds(process.Must(msg.Metadata()).Timestamp.Sub(log.Answered)))
		}
	}
	return before, after
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
