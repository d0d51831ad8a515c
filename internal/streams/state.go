package streams

import (
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// state is what the looks at the streams told of them, beyond right and wrong.
type state struct {
	domain          string // of JetStream
	requestsCreated time.Time
	trackerCreated  time.Time
	trackerSeq      uint64 // the last one
	trackerFull     bool
}

// observe takes in what is remembered of the streams. b.mu is held.
func (b *Binding) observe(findings []Finding) {
	before := b.state
	for _, f := range findings {
		if f.Stream == nil {
			continue
		}
		switch f.Stream.Config.Name {
		case b.cfg.Requests.Name:
			b.state.requestsCreated, b.state.domain = f.Stream.Created, f.Stream.Domain
		case b.cfg.TrackerStream():
			b.state.trackerCreated, b.state.trackerSeq = f.Stream.Created, f.Stream.State.LastSeq
			b.state.trackerFull = full(f.Stream) != ""
		}
	}
	if b.state.isOther(before) {
		b.log.Warn().Msg("request stream or records were recreated, or went back")
		select {
		case b.recreated <- struct{}{}:
		default:
		}
	}
}

// isOther reports whether a stream was recreated since before, or lost its last messages.
func (s state) isOther(before state) bool {
	return !before.requestsCreated.IsZero() && !s.requestsCreated.Equal(before.requestsCreated) ||
		!before.trackerCreated.IsZero() && (!s.trackerCreated.Equal(before.trackerCreated) || s.trackerSeq < before.trackerSeq)
}

// RequestsCreated returns when the request stream was created, as of the last look; zero before the first. An
// acknowledgement of a request of another one must not be sent: it names the stream by name and sequence.
func (b *Binding) RequestsCreated() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.requestsCreated
}

// TrackerState returns when the stream of the records was created and its last sequence, as of the last look. A
// bucket that was recreated, or went back, has lost records of tasks that run.
func (b *Binding) TrackerState() (created time.Time, lastSeq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.trackerCreated, b.state.trackerSeq
}

// TrackerFull reports whether the bucket took no more records at the last look: what is submitted then cannot be
// recorded.
func (b *Binding) TrackerFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.trackerFull
}

// Recreated receives after a look that found the request stream or the bucket of records recreated, or the bucket's
// last sequence lower than before. One value may stand for several changes.
func (b *Binding) Recreated() <-chan struct{} { return b.recreated }

// Clock tells whether this machine's clock is in step with NATS'.
func (b *Binding) Clock() string {
	if skew := DescribeSkew(b.clock.Skew()); skew != "" {
		return skew
	}
	return "in step with NATS"
}

// DescribeSkew says how far this machine's clock is off, or "" where that is no more than servertime.MaxSkew.
func DescribeSkew(skew time.Duration) string {
	switch {
	case skew.Abs() <= servertime.MaxSkew:
		return ""
	case skew > 0:
		return fmt.Sprintf("this machine's clock is %v behind NATS'", skew.Round(time.Second))
	default:
		return fmt.Sprintf("this machine's clock is %v ahead of NATS'", -skew.Round(time.Second))
	}
}
