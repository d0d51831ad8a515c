package main

import (
	"context"
	"slices"
)

// scenario is one way to break the world.
type scenario struct {
	name  string
	about string
	short bool // part of the short run
	alone bool // measures time, so nothing else may run at the same time
	nodes int  // of NATS, at least
	storm bool // lasts for the minutes that the user chooses

	clocks bool // has workers whose clock is wrong
	newer  bool // older versions do not promise that it ends well
	older  bool // needs workers of an older version

	run func(ctx context.Context, w *world)
}

// scenarios returns all of them, in the order in which they are shown.
func scenarios() []scenario {
	return slices.Concat(windows(), stops(), outages(), clusters(), apiFaults(), streamFaults(), machines(), handovers(), storms())
}

// failure is the panic with which a scenario ends early, as FailNow ends a test.
type failure struct{ err error }

// check ends the scenario if err is not nil.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must returns v, or ends the scenario if err is not nil.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// catch runs part of a scenario and returns the error that ended it.
func catch(part func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.err
		default:
			panic(p)
		}
	}()
	part()
	return nil
}
