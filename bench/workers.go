package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	workersTasks = 30_000 // of one run

	// What is published to workers of which each has room for all of it.
	pacedTasks = 2000
	pacedEvery = 20 * time.Millisecond
	pacedBatch = 10
)

func workers(ctx context.Context, l *lab) ([]figure.Row, error) {
	n := workersTasks
	if l.tasks > 0 {
		n = l.tasks
	}
	counts := []int{1, 2, 4, 8}
	rates := make([][]float64, len(counts))
	uneven := make([][]float64, len(counts))
	for round := range l.rounds {
		for i, count := range counts {
			rate, err := l.together(ctx, count, n)
			if err != nil {
				return nil, fmt.Errorf("%d workers: %w", count, err)
			}
			distance, err := l.spread(ctx, count)
			if err != nil {
				return nil, fmt.Errorf("%d workers with room: %w", count, err)
			}
			fmt.Printf("round %d  %d workers  %6.0f tasks/s, up to %.1f %% from even\n", round+1, count, rate, distance)
			rates[i], uneven[i] = append(rates[i], rate), append(uneven[i], distance)
		}
	}
	var rows []figure.Row
	for i, count := range counts[1:] {
		of := fmt.Sprintf("%d workers", count)
		rows = append(rows, figure.Row{
			What: "throughput of " + of, Unit: "tasks/s", Of: of, Values: rates[i+1], Than: "1 worker", Others: rates[0], Goal: figure.Goal{Least: 0.9},
		}, figure.Row{
			What: "largest distance from an even share", Unit: "%", Of: of, Values: uneven[i+1], Goal: figure.Goal{Most: 20},
		})
	}
	return rows, nil
}

// together runs n tasks of a stored queue through several workers and returns how many a second.
func (l *lab) together(ctx context.Context, count, n int) (float64, error) {
	w, err := l.newWorld(ctx, standin.Config{})
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", n)
	}
	if err != nil {
		return 0, err
	}
	var p *process.Process
	for i := range count {
		if p, err = w.launch(ctx, fmt.Sprintf("worker-%d", i+1), w.worker, quickPolls()...); err != nil {
			return 0, err
		}
	}
	if err := w.settled(ctx, p, n); err != nil {
		return 0, err
	}
	return w.rate(ctx, n/4, n) // all have started by then
}

// spread gives tasks to workers that all have room, and returns how far the share of one is from even, in
// percent of the even share.
func (l *lab) spread(ctx context.Context, count int) (float64, error) {
	w, err := l.newWorld(ctx, standin.Config{})
	defer w.close()
	if err != nil {
		return 0, err
	}
	var p *process.Process
	for i := range count {
		if p, err = w.startWorker(ctx, fmt.Sprintf("worker-%d", i+1), quickPolls()...); err != nil {
			return 0, err
		}
	}
	for i := range pacedTasks / pacedBatch {
		if err := w.fill(ctx, fmt.Sprintf("paced-%d", i), pacedBatch); err != nil {
			return 0, err
		}
		if err := process.Pass(ctx, pacedEvery); err != nil {
			return 0, err
		}
	}
	if err := w.settled(ctx, p, pacedTasks); err != nil {
		return 0, err
	}
	asked, err := w.counts(ctx)
	if err != nil {
		return 0, err
	}
	even, farthest := float64(pacedTasks)/float64(count), 0.0
	for i := range count {
		share := float64(asked.Workers[fmt.Sprintf("worker-%d", i+1)])
		farthest = max(farthest, 100*math.Abs(share-even)/even)
	}
	return farthest, nil
}
