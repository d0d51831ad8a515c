package main

import (
	"errors"
	"testing"
)

// A server's name or an argument could contain anything.
func TestAnErrorCannotControlTheTerminal(t *testing.T) {
	t.Parallel()
	errOut := &output{}
	(&terminal{err: errOut}).complain(errors.New("first\x1b[2J\nsecond \u009b31m\u202ereversed\rgone"))
	if got, want := errOut.String(), "capstan: first\\x1b[2J\nsecond \\u009b31m\\u202ereversed gone\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
