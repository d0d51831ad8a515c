// Package steer tells the workers what to do with tasks that they have or will get: cancel some, or submit nothing for a while.
// They read that in the control bucket.
package steer

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/operator"
)

// message returns the message that writes a key of the bucket by which the workers are steered.
func message(q operator.Queue, key string, value []byte, ttl time.Duration) *nats.Msg {
	msg := &nats.Msg{Subject: jet.BucketWriteSubject(q.Config.NATS.JSDomain, q.Config.Control.Bucket, key), Header: nats.Header{}, Data: value}
	msg.Header.Set(jetstream.ExpectedStreamHeader, q.Config.Control.Stream())
	msg.Header.Set(jetstream.MsgTTLHeader, max(ttl, time.Second).Round(time.Second).String())
	return msg
}

// removeTries is how often remove tries to remove a value that is replaced meanwhile.
const removeTries = 5

// remove removes a key of the bucket by which the workers are steered, and returns the value that it had, or nil if it had none.
// read returns the value of the key and its revision.
func remove[T any](ctx context.Context, q operator.Queue, key string, read func() (*T, uint64, error)) (*T, error) {
	var conflict error
	for range removeTries {
		value, revision, err := read()
		if value == nil || err != nil {
			return nil, err
		}
		// The marker tells watchers that the key is gone (NATS ADR-8). Only the value that is returned is removed.
		marker := message(q, key, nil, q.Config.Tracker.TTL)
		marker.Header.Set("KV-Operation", "DEL")
		marker.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
		if _, conflict = q.JS.PublishMsg(ctx, marker); conflict == nil {
			return value, nil
		}
		if !jet.IsConflict(conflict) {
			break
		}
	}
	return nil, fmt.Errorf("remove %s from bucket %s: %w", key, q.Config.Control.Bucket, q.Explain(conflict))
}
