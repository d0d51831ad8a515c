package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	nightTasks    = 1600
	nightBrowsers = 40
	nightWorkers  = 3

	// Run times are a tenth of 5 s to 10 minutes, and most are short: a queue must end in a few minutes.
	shortestRun, longestRun = 500 * time.Millisecond, time.Minute
)

// plan is what the account of the stand-in may use.
type plan struct {
	Browsers int           `json:"browsers"` // at once; 0: any number
	Starts   int           `json:"starts"`   // in a window; 0: any number
	Window   time.Duration `json:"window"`
	Silent   bool          `json:"silent"` // answers do not say how many starts remain
}

// nightCase is a queue of tasks, an account, and what happens on the way.
type nightCase struct {
	name      string
	plan      plan
	others    int     // browsers that another user of the account takes for a third of the least time
	comeAndGo bool    // workers are added, killed and drained
	ratio     float64 // of the time to the least possible, at most
	refusals  float64 // a task, at most
}

func nightCases() []nightCase {
	browsers := plan{Browsers: nightBrowsers}
	return []nightCase{
		{name: "browsers", plan: browsers, ratio: 1.05, refusals: 0.02},
		{name: "browsers and starts", plan: plan{Browsers: nightBrowsers, Starts: 50, Window: 5 * time.Second}, ratio: 1.05, refusals: 0.02},
		{name: "browsers and starts, no headers", plan: plan{Browsers: nightBrowsers, Starts: 50, Window: 5 * time.Second, Silent: true}},
		{name: "workers come and go", plan: browsers, comeAndGo: true, ratio: 1.05, refusals: 0.02},
		{name: "another user", plan: browsers, others: nightBrowsers / 2, ratio: 1.15},
	}
}

// night runs a queue with the settings of a new user, and compares the time with the least possible.
func night(ctx context.Context, l *lab) {
	for round := range l.rounds {
		random := rand.New(rand.NewPCG(uint64(round+1), 2))
		runs := make([]time.Duration, l.tasksOr(nightTasks))
		for i := range runs {
			between := math.Log(longestRun.Seconds() / shortestRun.Seconds())
			runs[i] = time.Duration(float64(shortestRun) * math.Exp(random.Float64()*random.Float64()*between))
		}
		for _, c := range nightCases() {
			took, least, refusals := l.play(ctx, c, runs)
			what := c.name + ": "
			l.add("workers", took.Seconds(), figure.Row{What: what + "time to the last event", Unit: "s", Goal: figure.Goal{Most: c.ratio}})
			l.add("least possible", least.Seconds(), figure.Row{What: what + "time to the last event", Unit: "s", Goal: figure.Goal{Most: c.ratio}})
			l.add("workers", refusals, figure.Row{What: what + "refusals", Unit: "a task", Goal: figure.Goal{Most: c.refusals}})
		}
	}
}

// play runs tasks with these run times to the end.
func (l *lab) play(ctx context.Context, c nightCase, runs []time.Duration) (took, least time.Duration, refusals float64) {
	settings := []string{"POLL_INTERVAL=" + shortestInterval.String(), "POLL_MAX_INTERVAL=" + longestInterval.String(), "ACK_WAIT=6s"}
	w := l.newWorldWith(ctx, c.plan, settings...)
	defer w.close()
	var workers []*process.Process
	for i := range nightWorkers {
		workers = append(workers, w.startWorker(ctx, fmt.Sprintf("w%d", i+1), settings...))
	}
	began := time.Now()
	w.publish(ctx, len(runs), func(i int) []byte { return request(taskID(i), "", &anchortest.Plan{Run: runs[i]}) })
	alone := leastTime(runs, c.plan, &otherUser{})
	quarter := alone / 4
	other := &otherUser{api: "http://" + w.api.Addr}
	busy := make(chan error, 1)
	go func() { busy <- other.use(ctx, c.others, began.Add(quarter), began.Add(quarter+thirdWith(alone))) }()
	if c.comeAndGo {
		process.Check(process.Pass(ctx, quarter))
		added := w.startWorker(ctx, "added", settings...)
		process.Check(process.Pass(ctx, quarter/2))
		process.Check(workers[0].Kill())
		process.Check(process.Pass(ctx, quarter/2))
		w.stop(ctx, workers[1])
		workers = []*process.Process{added, workers[2]}
	}
	w.reach(ctx, workers[0], len(runs))
	took = time.Since(began)
	process.Check(<-busy)
	totals := process.Must(w.api.Totals(ctx))
	refused := totals.Posts - totals.Accepted - other.refused
	return took, leastTime(runs, c.plan, other.since(began)), float64(refused) / float64(len(runs))
}

// thirdWith returns a third of the least time of a queue that takes so long alone, and of which another user takes half of
// the browsers for that third.
func thirdWith(alone time.Duration) time.Duration { return alone * 2 / 5 }

// leastTime returns the time that tasks with these run times take if each starts as soon as the plan allows.
func leastTime(runs []time.Duration, p plan, other *otherUser) (at time.Duration) {
	const step = 10 * time.Millisecond
	var ends []time.Duration
	started := 0
	for left := runs; len(left)+len(ends) > 0; at += step {
		if p.Starts > 0 && at%p.Window < step {
			started = 0
		}
		ends = slices.DeleteFunc(ends, func(end time.Duration) bool { return at >= end })
		for len(left) > 0 && len(ends)+other.has(at) < p.Browsers && (p.Starts == 0 || started < p.Starts) {
			ends, left = append(ends, at+left[0]), left[1:]
			started++
		}
	}
	return at
}
