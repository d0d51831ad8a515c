//go:build race

package natstest

// RaceDetector reports whether the race detector is on, which changes memory and time.
const RaceDetector = true
