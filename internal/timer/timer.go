// Package timer waits, and can be interrupted; Growing says for how long.
package timer

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Growing returns waits that double from first to longest, each a fifth longer or shorter at random, so that workers do not
// all try again at once.
func Growing(first, longest time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: first, MaxInterval: longest, Multiplier: 2, RandomizationFactor: 0.2}
}

// Sleep returns nil after d or when early is closed, or ctx's error if that ends first. A nil channel is never closed.
func Sleep(ctx context.Context, d time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-early:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
