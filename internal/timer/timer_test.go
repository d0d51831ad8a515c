package timer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/timer"
)

func TestSleepEndsWithWhatComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		early, end bool // the channel is closed, the context ended, after a second
		took       time.Duration
		err        error
	}{
		"the time":    {took: time.Minute},
		"the channel": {early: true, took: time.Second},
		"the context": {end: true, took: time.Second, err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				early := make(chan struct{})
				time.AfterFunc(time.Second, func() {
					if c.early {
						close(early)
					}
					if c.end {
						cancel()
					}
				})
				began := time.Now()
				err := timer.Sleep(ctx, time.Minute, early)
				if took := time.Since(began); took != c.took || !errors.Is(err, c.err) {
					t.Errorf("got %v after %v, want %v after %v", err, took, c.err, c.took)
				}
			})
		})
	}
}
