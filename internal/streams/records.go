package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// recordsInterval is about the time between two looks at the bucket of records alone, and recordsTimeout bounds one.
const (
	recordsInterval = 2 * time.Second
	recordsTimeout  = 2 * time.Second
)

// WatchRecords looks at the bucket of records every two seconds until ctx ends. If it is missing, was recreated or went
// back in time, all streams are looked at, at once. A worker that runs a task then writes its record again; until it does,
// a worker that gets the request finds no record, and would run the task a second time.
func (b *Binding) WatchRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(recordsInterval - rand.N(recordsInterval/4)):
		}
		if b.recordsLost(ctx) {
			_ = b.Look(ctx) // it is logged, and readiness tells
		}
	}
}

// recordsLost reports whether the bucket is missing, was recreated or went back. No answer says nothing.
func (b *Binding) recordsLost(ctx context.Context) bool {
	if !b.nc.IsConnected() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, recordsTimeout)
	defer cancel()
	info, err := b.Found().Tracker.Info(ctx)
	if err != nil {
		return errors.Is(err, jetstream.ErrStreamNotFound)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !info.Created.Equal(b.state.trackerCreated) || info.State.LastSeq < b.state.trackerSeq {
		return true
	}
	b.state.trackerSeq = info.State.LastSeq
	return false
}
