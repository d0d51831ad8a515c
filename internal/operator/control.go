package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/task"
)

// Limit returns how many tasks the workers hold at once, and why. The zero Cap means that they have not said so.
func (q Queue) Limit(ctx context.Context) (limits.Cap, error) {
	value, err := q.controlValue(ctx, limits.Key)
	var c limits.Cap
	if err != nil || json.Unmarshal(value, &c) != nil || c.InFlight < 1 { // a value that no worker wrote is like none
		return limits.Cap{}, err
	}
	return c, nil
}

// Cancellation returns the mark by which a task or its batch is canceled, or nil if there is none. Either may be empty.
func (q Queue) Cancellation(ctx context.Context, id, batch string) (*task.Cancellation, error) {
	var keys []string
	if id != "" {
		keys = append(keys, control.CancelPrefix+id)
	}
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
		return nil, fmt.Errorf("find bucket %s: %w", name, q.Explain(err))
	}
	entry, err := bucket.Get(asking, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of bucket %s: %w", key, name, q.Explain(err))
	}
	return entry.Value(), nil
}

// ControlStream returns the stream behind the bucket by which the workers are steered. It is an error if workers do not
// use the bucket either, because it is another application's, and a *MissingError if there is no bucket.
func (q Queue) ControlStream(ctx context.Context) (jetstream.Stream, error) {
	bucket := q.Config.Control
	s, err := q.bucketStream(ctx, bucket.Bucket)
	if err != nil {
		return nil, err
	}
	if why := bucket.Refusal(s.CachedInfo().Config); why != "" {
		return nil, fmt.Errorf("bucket %s %s", bucket.Bucket, why)
	}
	return s, nil
}

// CurrentPause returns the pause that workers obey, or nil if there is none. The error is a *MissingError without the bucket.
func (q Queue) CurrentPause(ctx context.Context) (*task.Pause, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := q.ControlStream(asking)
	if err != nil {
		return nil, err
	}
	p, _, err := q.PauseIn(asking, s)
	return p, err
}

// PauseIn returns the pause in the stream of Queue.ControlStream and its revision, or nil if there is none or it has ended.
func (q Queue) PauseIn(ctx context.Context, s jetstream.Stream) (*task.Pause, uint64, error) {
	msg, err := q.lastIn(ctx, s, control.PauseKey)
	if msg == nil || err != nil {
		return nil, 0, err
	}
	p := task.ParsePause(msg.Data)
	if now := s.CachedInfo().TimeStamp; !p.Until.IsZero() && !p.Until.After(now) {
		return nil, 0, nil
	}
	return &p, msg.Sequence, nil
}

// CancellationIn returns the mark with this key in the stream of Queue.ControlStream and its revision, or nil if there is none.
func (q Queue) CancellationIn(ctx context.Context, s jetstream.Stream, key string) (*task.Cancellation, uint64, error) {
	msg, err := q.lastIn(ctx, s, key)
	if msg == nil || err != nil {
		return nil, 0, err
	}
	c := task.ParseCancellation(msg.Data)
	return &c, msg.Sequence, nil
}

// lastIn returns the message of a key in the stream of Queue.ControlStream, or nil if there is none, or if workers no longer
// read it because of its age.
func (q Queue) lastIn(ctx context.Context, s jetstream.Stream, key string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.GetLastMsgForSubject(ctx, jet.BucketSubject(q.Config.Control.Bucket, key))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && jet.IsDeleted(msg):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s of bucket %s: %w", key, q.Config.Control.Bucket, q.Explain(err))
	case s.CachedInfo().TimeStamp.Sub(msg.Time) > q.Config.Tracker.TTL:
		return nil, nil
	default:
		return msg, nil
	}
}
