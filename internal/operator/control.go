package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/task"
)

// limitsKey is the key under which the workers write how many tasks they hold at once; see limits.Cap.
const limitsKey = "limits"

// controlValue returns the value of a key of the control bucket, or nil if there is none. Without the bucket there is none
// either: workers can do without it.
func (q Queue) controlValue(ctx context.Context, key string) ([]byte, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Control.Bucket
	bucket, err := q.JS.KeyValue(asking, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrBadBucket) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find bucket %s: %w", name, q.explain(err))
	}
	entry, err := bucket.Get(asking, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of bucket %s: %w", key, name, q.explain(err))
	}
	return entry.Value(), nil
}

// limit returns how many tasks the workers hold at once, and why. The zero Cap means that they have not said so.
func (q Queue) limit(ctx context.Context) (limits.Cap, error) {
	value, err := q.controlValue(ctx, limitsKey)
	var c limits.Cap
	if err != nil || json.Unmarshal(value, &c) != nil || c.InFlight < 1 { // a value that no worker wrote is like none
		return limits.Cap{}, err
	}
	return c, nil
}

// pause returns the pause that workers obey, or nil if there is none. The error is a *MissingError without the bucket.
func (q Queue) pause(ctx context.Context) (*task.Pause, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := q.controlStream(asking)
	if err != nil {
		return nil, err
	}
	p, _, err := q.currentPause(asking, s)
	return p, err
}

// cancellation returns the mark by which a task or its batch is canceled, or nil if there is none.
func (q Queue) cancellation(ctx context.Context, id, batch string) (*task.Cancellation, error) {
	keys := []string{control.CancelPrefix + id}
	if batch != "" {
		keys = append(keys, control.CancelBatchPrefix+batch)
	}
	for _, key := range keys {
		value, err := q.controlValue(ctx, key)
		if err != nil {
			return nil, err
		}
		if value != nil {
			c := task.ParseCancellation(value)
			return &c, nil
		}
	}
	return nil, nil
}
