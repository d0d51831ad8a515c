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
	alone bool // it measures time, so that nothing else may run beside it
	nodes int  // of NATS, at least
	storm bool // it lasts for the minutes that the user gives

	clocks bool // it has workers whose clock is off
	newer  bool // older versions do not promise that it goes well
	older  bool // it is about workers of an older version, and needs one

	run func(ctx context.Context, w *world) error
}

// scenarios are all of them, in the order in which they are shown.
func scenarios() []scenario {
	return slices.Concat(kills(), stalls(), cuts(), stops(), outages(), clusters(), troubles(), stores(),
		gateways(), recreations(), burdens(), clocks(), versions(), handovers(), storms())
}
