package main

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	fairTasks = 200
	fairTime  = 15 * time.Second // about as many shares

	// fairRate is a fifth of the calls a second that fairTasks take at the shortest interval.
	fairRate = int(fairTasks * time.Second / shortestGap / 5)
)

// fairness is how long workflows waited for a poll under a rate that is too small for all, in seconds.
type fairness struct {
	longest float64 // of all, from the submission or a poll to the next
	share   float64 // the same if all were asked after in turn
}

func fairnessRow(all []fairness) figure.Row {
	return figure.Row{
		What: fmt.Sprintf("%d workflows, a rate of a fifth of what they ask for: longest time without a poll", fairTasks), Unit: "s",
		Of: "worker", Values: each(all, func(f fairness) float64 { return f.longest }),
		Than: "its share", Others: each(all, func(f fairness) float64 { return f.share }), Goal: figure.Goal{Most: 3},
	}
}

// fairness lets workflows run on under a rate that is too small, and looks for the one that waited longest.
func (l *lab) fairness(ctx context.Context) (f fairness, err error) {
	w, err := l.newWorld(ctx, standin.Config{Hold: true, Times: true})
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", fairTasks)
	}
	if err != nil {
		return f, err
	}
	p, err := w.startWorker(ctx, "worker", "POLL_INTERVAL="+shortestGap.String(), "POLL_MAX_INTERVAL="+shortestGap.String(),
		fmt.Sprintf("ANCHORBROWSER_RATE_LIMIT=%d", fairRate))
	if err != nil {
		return f, err
	}
	if err := held(ctx, p, fairTasks); err != nil {
		return f, err
	}
	if err := process.Pass(ctx, fairTime); err != nil {
		return f, err
	}
	var times map[string]standin.Times
	if err := w.askAPI(ctx, "/_bench/times", &times); err != nil {
		return f, err
	}
	now := time.Now().UnixNano()
	for _, at := range times {
		f.longest = max(f.longest, milliseconds(max(at.Longest, now-at.Latest))/1000)
	}
	f.share = float64(fairTasks) / float64(fairRate)
	return f, nil
}
