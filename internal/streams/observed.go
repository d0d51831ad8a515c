package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// recordsInterval is about the time between two checks of the bucket of records alone, and recordsTimeout bounds one.
const (
	recordsInterval = 2 * time.Second
	recordsTimeout  = 2 * time.Second
)

// observed is what the checks saw of the streams, apart from right and wrong. The creation times tell a
// stream from an earlier one of the same name, and are zero until the stream was seen. A last sequence that
// became lower means that NATS has lost messages, for example because it was restored from a backup.
// Binding.mu guards it.
type observed struct {
	domain          string // of JetStream
	requestsCreated time.Time
	trackerCreated  time.Time
	trackerSeq      uint64 // the last one
	trackerFull     bool
}

// update takes the reports of a check, and reports whether a stream was recreated or has lost its last
// messages. A stream without an answer keeps what was observed of it before.
func (o *observed) update(reports []*Report, cfg Config) (isOther bool) {
	before := *o
	for _, r := range reports {
		if r.Stream == nil {
			continue
		}
		switch r.Stream.Config.Name {
		case cfg.Requests.Name:
			o.requestsCreated, o.domain = r.Stream.Created, r.Stream.Domain
		case cfg.TrackerStream():
			o.trackerCreated, o.trackerSeq = r.Stream.Created, r.Stream.State.LastSeq
			o.trackerFull = describeFull(r.Stream) != ""
		}
	}
	return !before.requestsCreated.IsZero() && !o.requestsCreated.Equal(before.requestsCreated) ||
		!before.trackerCreated.IsZero() && before.hasLostRecords(o.trackerCreated, o.trackerSeq)
}

// hasLostRecords compares what was observed of the bucket of records with its state now: is it another bucket, or has it
// lost its last writes?
func (o *observed) hasLostRecords(created time.Time, lastSeq uint64) bool {
	return !created.Equal(o.trackerCreated) || lastSeq < o.trackerSeq
}

// WatchRecords checks the bucket of records every two seconds until ctx ends. If it is missing, recreated or rolled
// back, all streams are checked at once. A worker with a running task then writes its record again. Until it does, a
// worker that receives the request finds no record, and would run the task a second time.
func (b *Binding) WatchRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(recordsInterval - rand.N(recordsInterval/4)):
		}
		if b.recordsLost(ctx) {
			_ = b.Check(ctx) // it is logged, and readiness reports it
		}
	}
}

// recordsLost reports whether the bucket is missing, recreated or rolled back. It returns false if no
// answer comes, which says nothing about the bucket. It may be called only after Await has returned nil.
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
	if b.observed.hasLostRecords(info.Created, info.State.LastSeq) {
		return true
	}
	b.observed.trackerSeq = info.State.LastSeq
	return false
}
