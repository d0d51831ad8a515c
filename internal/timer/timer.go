// Package timer waits, and can be interrupted.
package timer

import (
	"context"
	"time"
)

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
