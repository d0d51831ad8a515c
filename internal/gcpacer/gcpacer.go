// Package gcpacer sets how often Go's garbage collector runs.
//
// By default a collection starts whenever the heap has doubled. For a worker with few tasks that is too often: with a
// few MiB in use there would be thirty collections a second at full speed, and each scans the stacks of all waiting
// tasks. For a worker with very many tasks, which allocates little, it is too rare: half of its memory would be
// garbage. So the heap grows by 32 MiB, or by a quarter if that is more, and by only a twentieth if collections are rare.
package gcpacer

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	headroom     = 32 << 20    // bytes that may be allocated between two collections
	busyHeadroom = 64 << 20    // the same, if the last two collections were less than busyInterval apart
	busyInterval = time.Second // see busyHeadroom
	minPercent   = 25          // of the memory in use, if that is more than the headroom
	rarePercent  = 5           // the same, if the last two collections were at least rareInterval apart
	rareInterval = 10 * time.Second
	minHeap      = 4 << 20 // bytes: the smallest heap that Go collects
)

// Pace sets the collector's pace for the process, and again after each collection. If GOGC is set, it does nothing.
// GOMEMLIMIT applies in any case.
func Pace() {
	if os.Getenv("GOGC") == "" {
		pace(time.Time{})
	}
}

// pace is called after each collection with the time of the one before.
func pace(before time.Time) {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(inUse)
	now := time.Now()
	debug.SetGCPercent(Percent(inUse[0].Value.Uint64()+inUse[1].Value.Uint64(), now.Sub(before)))
	// This object is garbage at once, so the next collection calls pace again.
	runtime.AddCleanup(new([64]byte), pace, now)
}

// Percent returns how much memory may be allocated until the next collection, in percent of inUse. inUse is in bytes,
// and interval is the time between the last two collections.
func Percent(inUse uint64, interval time.Duration) int {
	free, least := uint64(headroom), uint64(minPercent)
	switch {
	case interval < busyInterval:
		free = busyHeadroom
	case interval >= rareInterval:
		least = rarePercent
	}
	return int(min(max(100*free/max(inUse, minHeap), least), 100*busyHeadroom/minHeap))
}
