package main

import (
	"context"
	"slices"

	"github.com/capstan-worker/capstan/test/process"
)

// scenario is one way to break the world.
type scenario struct {
	name  string
	about string
	short bool // part of the short run
	alone bool // measures time, so nothing else may run at the same time
	nodes int  // of NATS, at least
	storm bool // lasts for the minutes that the user chooses

	clocks   bool // has workers whose clock is wrong
	sessions bool // the workers have SESSIONS=on
	newer    bool // older versions do not promise that it ends well
	older    bool // needs workers of an older version

	run func(ctx context.Context, w *world)
}

// scenarios returns all of them, in the order in which they are shown.
func scenarios() []scenario {
	return slices.Concat(windows(), sessionWindows(), stops(), outages(), clusters(), apiFaults(), streamFaults(), machines(), handovers(), storms())
}

// check ends the scenario if err is not nil.
func check(err error) { process.Check(err) }

// must returns v, or ends the scenario if err is not nil.
func must[T any](v T, err error) T { return process.Must(v, err) }
