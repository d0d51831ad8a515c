package poller_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// runs is how long tasks take: the i-th one.
type runs func(i int) time.Duration

// logNormal is a run time in seconds with this median, and this deviation of its logarithm.
func logNormal(median, sigma float64) runs {
	return func(int) time.Duration {
		return time.Duration(median * math.Exp(sigma*rand.NormFloat64()) * float64(time.Second))
	}
}

// mixed is a short run in seven of ten, else a long one.
func mixed(i int) time.Duration {
	if rand.IntN(10) < 7 {
		return logNormal(8, 0.2)(i)
	}
	return logNormal(60, 0.2)(i)
}

// spent is what the waits for tasks cost.
type spent struct {
	rounds            float64 // added up
	calls, delay, run float64 // means a task, the times in seconds
	p95               float64 // of the delay, in seconds
}

// product is the calls and the delay, multiplied, against those of a loop with one interval that has the same
// delay: twice that, with half of one call more than fits into the run.
func (s *spent) product() float64 { return s.calls * s.delay / (s.run/2 + s.delay/2) }

// add makes s the mean of what several rounds of as many tasks cost. The p95 is that of the last one.
func (s *spent) add(round spent) {
	s.rounds++
	s.calls += (round.calls - s.calls) / s.rounds
	s.delay += (round.delay - s.delay) / s.rounds
	s.run += (round.run - s.run) / s.rounds
	s.p95 = round.p95
}

// load is tasks to wait for.
type load struct {
	run    runs
	tasks  int
	skip   int         // the first ones, which cost nothing
	atOnce int         // 0: a hundred
	fresh  bool        // each task has a poller of its own, with nothing to learn from
	store  task.Shared // by which the poller shares what it learns; nil: it does not
}

// spend waits for the tasks and returns what they cost.
func (l load) spend(t *testing.T) spent {
	t.Helper()
	if l.atOnce == 0 {
		l.atOnce = 100
	}
	var s spent
	var delays []float64
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ends := map[string]time.Time{}
		answers := api(func(_ context.Context, id string) (task.Workflow, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(ends[id]) {
				return task.Workflow{Status: "RUNNING"}, nil
			}
			return task.Workflow{Status: "COMPLETED"}, nil
		})
		begun := 0
		begin := func() (i int, watch *task.Watch) {
			mu.Lock()
			defer mu.Unlock()
			i = begun
			begun++
			id := strconv.Itoa(i)
			ends[id] = time.Now().Add(l.run(i))
			return i, &task.Watch{TaskID: id, WorkflowID: id, Kind: "k", Submitted: time.Now(), Deadline: time.Now().Add(time.Hour)}
		}
		p := newPoller(answers, rate.Inf)
		if l.store != nil {
			ctx, stop := context.WithCancel(t.Context())
			shared := make(chan struct{})
			go func() { p.Share(ctx, l.store); close(shared) }()
			defer func() { stop(); <-shared }()
		}
		var group sync.WaitGroup
		for range l.atOnce {
			group.Go(func() {
				for i, watch := begin(); i < l.tasks; i, watch = begin() {
					with := p
					if l.fresh {
						with = newPoller(answers, rate.Inf)
					}
					outcome, err := with.Wait(t.Context(), watch)
					if err != nil || !outcome.Ended() {
						t.Errorf("got %+v, %v, want an end", outcome, err)
					}
					if i < l.skip {
						continue
					}
					mu.Lock()
					delays = append(delays, time.Since(ends[watch.WorkflowID]).Seconds())
					s.calls += float64(outcome.Polls)
					s.run += ends[watch.WorkflowID].Sub(watch.Submitted).Seconds()
					mu.Unlock()
				}
			})
		}
		group.Wait()
	})
	slices.Sort(delays)
	n := float64(len(delays))
	for _, d := range delays {
		s.delay += d / n
	}
	s.calls, s.run, s.p95 = s.calls/n, s.run/n, delays[len(delays)*95/100]
	return s
}

// The least that is possible is (∫√(S·f))²/E[T] of the product of calls and mean delay that a loop with one
// interval has. For log-normal run times it is 0.44 (σ 0.25), 0.73 (σ 0.5) and 0.95 (σ 1), for the mixture
// 0.44. The bounds here leave room for chance; docs/benchmarks.md has what was measured.
func TestPollsAreSpentWhereTheEndIsLikely(t *testing.T) {
	t.Parallel()
	skipSimulation(t)
	for name, tc := range map[string]struct {
		run   runs
		bound float64
	}{
		"narrow": {logNormal(20, 0.25), 0.49},
		"wide":   {logNormal(20, 0.5), 0.79},
		"wider":  {logNormal(20, 1), 1.06},
		"mixed":  {mixed, 0.53},
		"long":   {logNormal(300, 0.25), 0.7},
	} {
		t.Run(name, func(t *testing.T) {
			s := load{run: tc.run, tasks: 3000, skip: 500}.spend(t)
			t.Logf("%.2f calls, %.2f s of delay, product %.3f, p95 %.2f of the mean", s.calls, s.delay, s.product(), s.p95/s.delay)
			if s.product() > tc.bound {
				t.Errorf("got %.2f of a fixed interval's product of calls and delay, want %.2f or less", s.product(), tc.bound)
			}
			if fixed := 1.9 * s.delay; s.p95 > 1.5*fixed {
				t.Errorf("got a p95 of %.2f s, want %.2f s or less", s.p95, 1.5*fixed)
			}
		})
	}
}

// What was learned does no harm when it is not true any more.
func TestPollsFollowWhenTasksTakeAnotherTime(t *testing.T) {
	t.Parallel()
	const before, after = 600, 300
	for name, run := range map[string][2]runs{
		"longer":       {logNormal(20, 0.25), logNormal(60, 0.25)},
		"shorter":      {logNormal(60, 0.25), logNormal(20, 0.25)},
		"where no end": {mixed, logNormal(25, 0.2)},
	} {
		t.Run(name, func(t *testing.T) {
			shift := func(i int) time.Duration {
				if i < before {
					return run[0](i)
				}
				return run[1](i)
			}
			learned := load{run: shift, tasks: before + after, skip: before}.spend(t)
			growing := load{run: shift, tasks: before + after, skip: before, fresh: true}.spend(t)
			t.Logf("%.2f calls and %.2f s, growing %.2f calls and %.2f s", learned.calls, learned.delay, growing.calls, growing.delay)
			if learned.product() > growing.product() {
				t.Errorf("got a product of calls and delay of %.2f, want no more than the growing interval's, %.2f",
					learned.product(), growing.product())
			}
		})
	}
}

func TestLearnedIntervalsKeepTheBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last, ends time.Time
		shortest, longest := time.Hour, time.Duration(0)
		p := newPoller(api(func(context.Context, string) (task.Workflow, error) {
			mu.Lock()
			defer mu.Unlock()
			gap := time.Since(last)
			last = time.Now()
			shortest, longest = min(shortest, gap), max(longest, gap)
			if last.Before(ends) {
				return task.Workflow{Status: "RUNNING"}, nil
			}
			return task.Workflow{Status: "COMPLETED"}, nil
		}), rate.Inf)
		for range 200 { // all take the same time: the end is known well
			last, ends = time.Now(), time.Now().Add(10*time.Second)
			if _, err := p.Wait(t.Context(), fresh(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if shortest < interval/4 || longest > maxInterval*11/10+time.Millisecond {
			t.Errorf("got polls %v to %v apart, want %v to %v", shortest, longest, interval/4, maxInterval)
		}
		if shortest >= interval {
			t.Errorf("got polls %v apart at least: nothing was learned", shortest)
		}
	})
}

// Kinds that come once do not keep a worker from learning of those that come again and again.
func TestManyKindsDoNotFillTheTableForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var calls []time.Time
		p := newPoller(noted(&calls, func(context.Context, string) (task.Workflow, error) {
			if time.Since(began) >= 10*time.Second {
				return task.Workflow{Status: "COMPLETED"}, nil
			}
			return task.Workflow{Status: "RUNNING"}, nil
		}), rate.Inf)
		first := func(kind string) time.Duration {
			began, calls = time.Now(), nil
			w := fresh(time.Hour)
			w.Kind = kind
			wait(t, p, w)
			return calls[0].Sub(began)
		}
		for i := range 300 {
			first("once " + strconv.Itoa(i))
		}
		for i := range 200 { // others come between
			first("often")
			first("rare " + strconv.Itoa(i))
		}
		if got := first("often"); got < 2*interval {
			t.Errorf("got the first poll after %v though no task of the kind ends before 10s: nothing was learned", got)
		}
		for i := range 256 { // a kind that did not come for long is forgotten
			first("late " + strconv.Itoa(i))
		}
		wantBetween(t, "first poll of a forgotten kind", first("often"), interval, interval*11/10)
	})
}

// skipSimulation skips a test that counts the polls of thousands of tasks. With the race detector it would take half a minute,
// and shorter tests run the same code.
func skipSimulation(t *testing.T) {
	t.Helper()
	if natstest.RaceDetector {
		t.Skip("the race detector makes it long")
	}
}
