package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/test/process"
)

// storms returns the scenarios that break everything at random, one thing at a time and several together, under a
// load of all kinds of tasks.
func storms() []scenario {
	return []scenario{
		{name: "storm", about: "everything at random, one node of NATS", short: true, storm: true, run: runStorm},
		{name: "storm-cluster", about: "everything at random, three nodes of NATS", nodes: 3, storm: true, run: runStorm},
		{name: "sessions", about: "everything at random, with SESSIONS=on", short: true, storm: true, sessions: true, newer: true, run: runStorm},
	}
}

// storm breaks one thing after the other, some of them before the last is repaired. One goroutine does it all.
type storm struct {
	*world
	began   time.Time
	random  *rand.Rand
	repairs []repair        // the earliest first
	broken  map[string]bool // the things that are broken and cannot be broken twice
}

// repair ends something that is broken.
type repair struct {
	at time.Time
	do func(ctx context.Context) error
}

// runStorm asks for tasks and breaks things at the same time.
func runStorm(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, w.worldConfig.workers))
	s := &storm{world: w, began: time.Now(), random: rand.New(rand.NewPCG(w.seed, 2)), broken: map[string]bool{}}
	end := time.Now().Add(w.lasts)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.askUntil(ctx, end) })
	group.Go(func() error { return s.blow(ctx, end) })
	check(group.Wait())
}

// askUntil asks for the world's tasks, at equal intervals.
func (w *world) askUntil(ctx context.Context, end time.Time) error {
	began, tasks := time.Now(), w.mixed(w.tasks)
	for i, r := range tasks {
		due := began.Add(end.Sub(began) * time.Duration(i) / time.Duration(len(tasks)))
		if err := process.Pass(ctx, time.Until(due)); err != nil {
			return err
		}
		if err := w.ask(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// blow breaks and repairs until the end, and then repairs the rest.
func (s *storm) blow(ctx context.Context, end time.Time) error {
	strike := time.Now()
	for {
		due, repairs := strike, len(s.repairs) > 0 && s.repairs[0].at.Before(strike)
		if repairs {
			due = s.repairs[0].at
		}
		if due.After(end) {
			return s.repairAll(ctx)
		}
		if err := process.Pass(ctx, time.Until(due)); err != nil {
			return err
		}
		var err error
		if repairs {
			err = s.repairNext(ctx)
		} else {
			err = choose(s.random, s.blows()).do(ctx)
			strike = time.Now().Add(s.upTo(1500 * time.Millisecond))
		}
		if err != nil {
			return err
		}
	}
}

func (s *storm) repairNext(ctx context.Context) error {
	first := s.repairs[0]
	s.repairs = s.repairs[1:]
	return first.do(ctx)
}

func (s *storm) repairAll(ctx context.Context) error {
	var all []error
	for len(s.repairs) > 0 {
		all = append(all, s.repairNext(ctx))
	}
	return errors.Join(all...)
}

// repairAfter plans a repair.
func (s *storm) repairAfter(d time.Duration, do func(context.Context) error) {
	s.repairs = append(s.repairs, repair{at: time.Now().Add(d), do: do})
	slices.SortStableFunc(s.repairs, func(a, b repair) int { return a.at.Compare(b.at) })
}

// breakOnce breaks a thing for a while, unless it is broken already.
func (s *storm) breakOnce(ctx context.Context, thing string, during time.Duration, breaks, repairs func(context.Context) error) error {
	if s.broken[thing] {
		return nil
	}
	if err := breaks(ctx); err != nil {
		return err
	}
	s.broken[thing] = true
	s.repairAfter(during, func(ctx context.Context) error {
		s.broken[thing] = false
		return repairs(ctx)
	})
	return nil
}

// upTo returns a random time, more often a short one.
func (s *storm) upTo(longest time.Duration) time.Duration {
	part := s.random.Float64()
	return time.Duration(part * part * float64(longest))
}
