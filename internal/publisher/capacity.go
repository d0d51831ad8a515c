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

// capacity reports whether the results stream has space for a message. It asks the stream a few times a second at most,
// for all callers together.
type capacity struct {
	results jetstream.Stream

	mu    sync.Mutex
	asked time.Time // guarded by mu
	free  int64     // bytes that the stream could store then; guarded by mu
}

// capacityMaxAge is how old an answer of the stream may be.
const capacityMaxAge = 250 * time.Millisecond

var errFull = errors.New("results stream is full")

// check returns nil if the stream has space for a message of this many bytes, and errFull if it does not.
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

// freeBytes returns how many bytes a stream can store before it refuses more.
func freeBytes(info *jetstream.StreamInfo) int64 {
	cfg, state := info.Config, info.State
	switch {
	case cfg.Discard != jetstream.DiscardNew: // it discards old messages instead
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

// messageSize returns how many bytes a message has, including its headers (NATS ADR-4).
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
