//go:build race

package operator_test

const raceDetector = true
