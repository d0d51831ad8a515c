package poller

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// learned is what was seen of the tasks of one kind.
type learned struct {
	Seen int              // ends so far
	Ends [ageBins]float64 // tasks that ended at that age
	Ran  [ageBins]float64 // seconds that tasks were seen to run at that age
}

// add adds what was seen elsewhere.
func (l *learned) add(other learned) {
	l.Seen += other.Seen
	for bin := range ageBins {
		l.Ends[bin] += other.Ends[bin]
		l.Ran[bin] += other.Ran[bin]
	}
}

// fade lets everything count less than the ends that follow: an end that 200 others followed counts for about a third.
// Seen does not fade.
func (l *learned) fade(ends int) {
	factor := math.Pow(1-1.0/remembered, float64(ends))
	for bin := range ageBins {
		l.Ends[bin] *= factor
		l.Ran[bin] *= factor
	}
}

const (
	// sharedVersion is the version of sharedValue. It changes with the meaning of a field, and with the bins.
	sharedVersion = 1

	// mostLearned bounds each number of a shared value: more than a year of tasks that all run at once.
	mostLearned = 1e12
)

// sharedValue is learned as the workers share it, in JSON.
type sharedValue struct {
	Version int       `json:"version" desc:"version of this value; workers leave one of another version alone"`
	Seen    int       `json:"seen" desc:"how many ends of tasks it was learned from, at most 200"`
	Ends    []float64 `json:"ends" desc:"by age: how many tasks ended at that age"`
	Ran     []float64 `json:"ran" desc:"by age: how many seconds tasks were seen to run at that age"`
}

// errForeign means that a shared value is of another version, or that no worker wrote it.
var errForeign = errors.New("value not understood")

// parseLearned reads a shared value. The error is errForeign if it cannot be read.
func parseLearned(value []byte) (l learned, err error) {
	var read sharedValue
	if err := json.Unmarshal(value, &read); err != nil {
		return l, fmt.Errorf("%w: %w", errForeign, err)
	}
	if read.Version != sharedVersion {
		return l, fmt.Errorf("%w: got version %d, want %d", errForeign, read.Version, sharedVersion)
	}
	if len(read.Ends) != ageBins || len(read.Ran) != ageBins {
		return l, fmt.Errorf("%w: got %d and %d ages, want %d", errForeign, len(read.Ends), len(read.Ran), ageBins)
	}
	l.Seen = read.Seen
	copy(l.Ends[:], read.Ends)
	copy(l.Ran[:], read.Ran)
	if l != l.bounded() {
		return learned{}, fmt.Errorf("%w: want 0 to %d ends, and numbers from 0 to %v", errForeign, remembered, float64(mostLearned))
	}
	return l, nil
}

// format returns a shared value that parseLearned can read, with four digits after the point.
func (l *learned) format() ([]byte, error) {
	short := l.bounded()
	for bin := range ageBins {
		short.Ends[bin] = math.Round(short.Ends[bin]*1e4) / 1e4
		short.Ran[bin] = math.Round(short.Ran[bin]*1e4) / 1e4
	}
	return json.Marshal(sharedValue{Version: sharedVersion, Seen: short.Seen, Ends: short.Ends[:], Ran: short.Ran[:]})
}

// bounded returns the same with each number within the bounds of a shared value.
func (l *learned) bounded() learned {
	b := learned{Seen: min(max(l.Seen, 0), remembered)}
	for bin := range ageBins {
		b.Ends[bin] = min(max(l.Ends[bin], 0), mostLearned)
		b.Ran[bin] = min(max(l.Ran[bin], 0), mostLearned)
	}
	return b
}
