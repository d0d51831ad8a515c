// Package collector sets how often Go's garbage collector runs.
//
// By itself it lets the heap double before it runs. That is soon for a worker that holds few tasks: with a
// few MiB in use it would run thirty times a second at full speed, and look through the stacks of all
// tasks that wait. And it is late for one that holds very many and allocates little: half of its memory would be
// garbage.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	room         = 64 << 20 // bytes that may be allocated between two collections
	leastPercent = 25       // of what is in use, where that is more than the room
	mostPercent  = 1600     // of what is in use; Go's smallest heap, 4 MiB, then leaves the room
)

// Pace sets the collector's pace for the process, and anew after each collection. Where GOGC is set nothing
// changes. GOMEMLIMIT holds in any case.
func Pace() {
	if os.Getenv("GOGC") == "" {
		pace()
	}
}

func pace() {
	used := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(used)
	debug.SetGCPercent(Percent(used[0].Value.Uint64() + used[1].Value.Uint64()))
	// What nobody holds goes with the next collection, and then this is called again.
	runtime.AddCleanup(new([64]byte), func(struct{}) { pace() }, struct{}{})
}

// Percent returns by how much of itself, in percent, what is in use (in bytes) may grow until the next collection.
func Percent(used uint64) int {
	return int(min(max(100*room/max(used, 1), leastPercent), mostPercent))
}
