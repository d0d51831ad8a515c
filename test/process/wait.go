package process

import (
	"context"
	"fmt"
	"time"
)

// Until waits until check returns nil. When the given time has passed, it returns the error of the last check.
func Until(ctx context.Context, what string, within time.Duration, check func() error) error {
	const shortest, longest = 10 * time.Millisecond, 500 * time.Millisecond
	began := time.Now()
	for wait := shortest; ; wait = min(2*wait, longest) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Since(began) > within {
			return fmt.Errorf("waited %v until %s: %w", within, what, err)
		}
		if err := Pass(ctx, wait); err != nil {
			return err
		}
	}
}

// Pass waits for d, or until ctx ends.
func Pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
