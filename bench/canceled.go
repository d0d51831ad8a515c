package main

import (
	"context"
	"encoding/json"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/test/process"
)

// batch is the batch of all tasks of a canceled queue.
const batch = "night"

// canceled measures how fast a worker with default settings ends the queued tasks of a batch that was canceled: each gets
// its event, and its request is kept as a dead letter.
func canceled(ctx context.Context, l *lab) {
	for range l.rounds {
		n := l.tasksOr(50_000)
		w := l.newWorld(ctx)
		w.publish(ctx, n, func(i int) []byte {
			return process.Must(json.Marshal(map[string]string{
				"task_id": taskID(i), "url": "https://example.com/", "prompt": taskID(i), "batch": batch,
			}))
		})
		process.Must(w.js.Publish(ctx, "$KV.task_control.cancel-batch."+batch, []byte("wrong night")))
		p := w.launch(ctx, "worker", w.worker)
		w.reach(ctx, p, n)
		l.add("worker", w.rate(ctx, n/10, n), figure.Row{What: "canceled tasks", Unit: "tasks/s", Goal: figure.Goal{Least: 2000}})
		w.close()
	}
}
