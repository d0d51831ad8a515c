package publisher

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// capacity reports whether the results stream has space for a message. It asks the stream a few times a
// second at most, for all callers together: check holds mu while it asks, so that callers that come
// meanwhile get the same answer.
type capacity struct {
	results jetstream.Stream

	mu sync.Mutex
	// When the stream answered last, or the zero time; guarded by mu.
	asked time.Time
	// The bytes that the stream could store then; guarded by mu.
	free int64
}

// capacityMaxAge is how old an answer of the stream may be.
const capacityMaxAge = 250 * time.Millisecond

// errFull means that the stream would refuse the message. It is retried, until the age limit of the stream
// or an operator makes space.
var errFull = errors.New("results stream is full")

// check returns nil if the stream has space for a message of this many bytes, and errFull if it does not.
// Any other error is that of the question. Nil promises nothing: another worker may use the space first.
func (c *capacity) check(ctx context.Context, size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) > capacityMaxAge {
		ctx, cancel := context.WithTimeout(ctx, jet.Quick)
		defer cancel()
		info, err := c.results.Info(ctx)
		if err != nil {
			return err
		}
		c.free, c.asked = freeBytes(info), time.Now()
	}
	if c.free < size {
		return errFull
	}
	return nil
}

// freeBytes returns how many bytes a stream can store before it refuses more. It is math.MaxInt64 if
// nothing would be refused, and may be negative.
func freeBytes(info *jetstream.StreamInfo) int64 {
	cfg, state := info.Config, info.State
	switch {
	// With any other policy it discards old messages instead.
	case cfg.Discard != jetstream.DiscardNew:
		return math.MaxInt64
	case cfg.MaxMsgs > 0 && state.Msgs >= uint64(cfg.MaxMsgs):
		return 0
	case cfg.MaxBytes > 0:
		return cfg.MaxBytes - int64(min(state.Bytes, math.MaxInt64))
	default:
		return math.MaxInt64
	}
}

// maxMessage returns how many bytes a message to the results stream may have, including its headers.
func (p *Publisher) maxMessage() int64 {
	most := int64(math.MaxInt64)
	if server := p.nc.MaxPayload(); server > 0 {
		most = server
	}
	if stream := int64(p.results.CachedInfo().Config.MaxMsgSize); stream > 0 {
		most = min(most, stream)
	}
	return most
}

// messageSize returns how many bytes a message has, including its headers as they are sent (NATS ADR-4).
// max_payload and max_msg_size count them, too.
func messageSize(msg *nats.Msg) int64 {
	size := len(msg.Data)
	if len(msg.Header) > 0 {
		size += len("NATS/1.0\r\n\r\n")
	}
	for name, values := range msg.Header {
		for _, value := range values {
			size += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return int64(size)
}
