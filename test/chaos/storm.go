package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"golang.org/x/sync/errgroup"
)

// storms break everything at random, alone and together, under a load of all kinds of tasks.
func storms() []scenario {
	return []scenario{
		{name: "storm", about: "everything at random, one node of NATS", short: true, storm: true, run: runStorm},
		{name: "storm-cluster", about: "everything at random, three nodes of NATS", nodes: 3, storm: true, run: runStorm},
	}
}

// storm breaks one thing after the other, some before the last is mended. All of it happens in one
// goroutine.
type storm struct {
	*world
	began  time.Time
	random *rand.Rand
	mends  []mend
	broken map[string]bool // what cannot be broken twice, and is
}

// mend is what ends something that is broken.
type mend struct {
	at time.Time
	do func(ctx context.Context) error
}

// runStorm asks for tasks all the time, and lets the storm blow.
func runStorm(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, w.worldConfig.workers); err != nil {
		return err
	}
	s := &storm{world: w, began: time.Now(), random: rand.New(rand.NewPCG(w.seed, 2)), broken: map[string]bool{}}
	end := time.Now().Add(w.lasts)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.askUntil(ctx, end) })
	group.Go(func() error { return s.blow(ctx, end) })
	return group.Wait()
}

// askUntil spreads the world's tasks over the time.
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

// blow breaks and mends until the end, and then mends the rest.
func (s *storm) blow(ctx context.Context, end time.Time) error {
	strike := time.Now()
	for {
		due, last := strike, s.next()
		if last != nil && last.at.Before(strike) {
			due = last.at
		}
		if due.After(end) {
			return s.mendAll(ctx)
		}
		if err := process.Pass(ctx, time.Until(due)); err != nil {
			return err
		}
		var err error
		if due.Equal(strike) {
			err = s.strike(ctx)
			strike = time.Now().Add(s.upTo(1500 * time.Millisecond))
		} else {
			err = s.mendNext(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// next is what is mended next; nil where nothing is broken.
func (s *storm) next() *mend {
	if len(s.mends) == 0 {
		return nil
	}
	return &s.mends[0]
}

func (s *storm) mendNext(ctx context.Context) error {
	m := s.mends[0]
	s.mends = s.mends[1:]
	return m.do(ctx)
}

func (s *storm) mendAll(ctx context.Context) error {
	var all []error
	for len(s.mends) > 0 {
		all = append(all, s.mendNext(ctx))
	}
	return errors.Join(all...)
}

// later plans the end of something that is broken.
func (s *storm) later(after time.Duration, do func(context.Context) error) {
	s.mends = append(s.mends, mend{at: time.Now().Add(after), do: do})
	slices.SortStableFunc(s.mends, func(a, b mend) int { return a.at.Compare(b.at) })
}

// once breaks what cannot be broken twice, unless it is broken.
func (s *storm) once(what string, during time.Duration, breaks, mends func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if s.broken[what] {
			return nil
		}
		if err := breaks(ctx); err != nil {
			return err
		}
		s.broken[what] = true
		s.later(during, func(ctx context.Context) error {
			s.broken[what] = false
			return mends(ctx)
		})
		return nil
	}
}

// upTo is a random time, mostly a short one.
func (s *storm) upTo(longest time.Duration) time.Duration {
	part := s.random.Float64()
	return time.Duration(part * part * float64(longest))
}

// strike breaks one thing.
func (s *storm) strike(ctx context.Context) error {
	blows := s.blows()
	total := 0
	for _, b := range blows {
		total += b.weight
	}
	roll := s.random.IntN(total)
	for _, b := range blows {
		if roll -= b.weight; roll < 0 {
			return b.strike(ctx)
		}
	}
	return nil
}
