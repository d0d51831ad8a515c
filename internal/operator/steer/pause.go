package steer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// RangeError says that a pause would end too early or too late.
type RangeError struct{ text string }

func (e RangeError) Error() string { return e.text }

// Pause makes the workers submit nothing until the pause ends: at its Until, or by Resume, or when it is as old as
// TRACKER_TTL. It replaces an earlier pause, which it returns, or nil. The error is an *operator.MissingError if there is
// no bucket for it, and a RangeError if the Until cannot be: Pause creates nothing.
func Pause(ctx context.Context, q operator.Queue, p task.Pause) (before *task.Pause, err error) {
	s, err := q.ControlStream(ctx)
	if err != nil {
		return nil, err
	}
	now, longest := s.CachedInfo().TimeStamp, q.Config.Tracker.TTL
	ttl := longest
	if !p.Until.IsZero() {
		ttl = p.Until.Sub(now)
	}
	switch {
	case ttl <= 0:
		return nil, RangeError{fmt.Sprintf("the pause must end later than now, %s by the clock of NATS (got %s)", now.Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339))}
	case ttl > longest:
		return nil, RangeError{fmt.Sprintf("the pause must end within %v, which is TRACKER_TTL (got %s)", longest, p.Until.UTC().Format(time.RFC3339))}
	}
	before, _, err = q.PauseIn(ctx, s)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write the pause: %w", err)
	}
	// The key outlives the pause a little: workers go by the pause's own end.
	if _, err := q.JS.PublishMsg(ctx, message(q, control.PauseKey, value, min(ttl+time.Minute, longest))); err != nil {
		return nil, fmt.Errorf("write the pause to bucket %s: %w", q.Config.Control.Bucket, q.Explain(err))
	}
	return before, nil
}

// PauseUntil returns when a pause ends that lasts this long, by the clock of NATS.
func PauseUntil(ctx context.Context, q operator.Queue, d time.Duration) (time.Time, error) {
	s, err := q.ControlStream(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return s.CachedInfo().TimeStamp.Add(d).Truncate(time.Second), nil
}

// Resume ends the pause and returns it, or nil if there was none.
func Resume(ctx context.Context, q operator.Queue) (*task.Pause, error) {
	s, err := q.ControlStream(ctx)
	if err != nil {
		return nil, err
	}
	return remove(ctx, q, control.PauseKey, func() (*task.Pause, uint64, error) { return q.PauseIn(ctx, s) })
}
