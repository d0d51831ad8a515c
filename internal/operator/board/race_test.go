//go:build race

package board_test

const raceDetector = true
