// Package steer tells the workers what to do with tasks that they have or will get: cancel some, or submit nothing for a while.
// They read that in the control bucket.
package steer

import (
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
