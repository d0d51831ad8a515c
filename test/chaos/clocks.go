package main

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/test/process"
)

// clocks are workers whose clock is off.
func clocks() []scenario {
	return []scenario{
		{name: "clock-ahead", about: "the clock of one of two workers is two hours ahead; each takes tasks over from the other", clocks: true, newer: true, run: clockOff(skew)},
		{name: "clock-behind", about: "the same with a clock that is two hours behind", clocks: true, newer: true, run: clockOff(-skew)},
	}
}

// skew is by how much a clock is off: longer than a task may take.
const skew = 2 * time.Hour

// skewed is the setting of a worker whose clock is off.
func skewed(by time.Duration) string {
	return fmt.Sprintf("%s=%d", process.SkewVariable, int(by.Seconds()))
}

// skew returns by how much the clock of the worker with that number is off: in a storm with such clocks that of every
// third, ahead and behind in turns.
func (w *world) skew(number int) time.Duration {
	switch {
	case !w.clocks || number%3 != 0:
		return 0
	case number%2 == 0:
		return skew
	default:
		return -skew
	}
}

func clockOff(by time.Duration) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		first, err := w.startWorker(ctx, skewed(by))
		if err != nil {
			return err
		}
		n := w.tasks / 6
		for _, next := range [][]string{nil, {skewed(by)}} {
			if err := w.ask(ctx, times(n, plain(2*ackWait))...); err != nil {
				return err
			}
			if err := w.waitRunning(ctx, n); err != nil {
				return err
			}
			second, err := w.startWorker(ctx, next...)
			if err != nil {
				return err
			}
			if err := w.ask(ctx, w.mixed(n)...); err != nil {
				return err
			}
			if err := first.Kill(); err != nil {
				return err
			}
			first = second
		}
		return nil
	}
}
