// Package gcpacer sets how often Go's garbage collector runs.
//
// By itself it lets the heap double before it runs. That is soon for a worker that holds few tasks: with a
// few MiB in use it would run thirty times a second at full speed, and look through the stacks of all
// tasks that wait. And it is late for one that holds very many and allocates little: half of its memory would be
// garbage.
package gcpacer

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	room         = 32 << 20    // bytes that may be allocated between two collections
	moreRoom     = 64 << 20    // the same, where they are allocated within hurry
	hurry        = time.Second // between two collections
	leastPercent = 25          // of what is in use, where that is more than the room
	smallest     = 4 << 20     // bytes: what Go's heap has at least
)

// Pace sets the collector's pace for the process, and anew after each collection. Where GOGC is set nothing
// changes. GOMEMLIMIT holds in any case.
func Pace() {
	if os.Getenv("GOGC") == "" {
		pace(time.Time{})
	}
}

// pace is called after each collection with the time of the one before.
func pace(before time.Time) {
	used := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(used)
	now := time.Now()
	debug.SetGCPercent(Percent(used[0].Value.Uint64()+used[1].Value.Uint64(), now.Sub(before)))
	// What nobody holds goes with the next collection, and then this is called again.
	runtime.AddCleanup(new([64]byte), pace, now)
}

// Percent returns by how much of itself, in percent, what is in use (in bytes) may grow until the next collection, after
// one that came that long after the one before.
func Percent(used uint64, after time.Duration) int {
	free := uint64(room)
	if after < hurry {
		free = moreRoom
	}
	return int(min(max(100*free/max(used, smallest), leastPercent), 100*moreRoom/smallest))
}
