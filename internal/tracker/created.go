package tracker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// creation remembers when the bucket was created. mu is held while the server is asked, so that calls that
// come meanwhile share the answer.
type creation struct {
	mu    sync.Mutex
	at    time.Time // guarded by mu
	asked time.Time // when the answer was asked for; guarded by mu
}

// Created returns when the bucket was created, by the server's clock, as of an answer that was asked for no longer ago than
// maxAge. A bucket that was deleted and created again has lost its records.
func (t *Tracker) Created(ctx context.Context, maxAge time.Duration) (time.Time, error) {
	t.creation.mu.Lock()
	defer t.creation.mu.Unlock()
	asked := time.Now()
	if asked.Sub(t.creation.asked) < maxAge {
		return t.creation.at, nil
	}
	info, err := jet.Retry(ctx, t.read, func(ctx context.Context) (*jetstream.StreamInfo, error) { return t.stream.Info(ctx) })
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the bucket of records was created: %w", err)
	}
	t.observe(info.State.LastSeq) // Create knows by it that the bucket was recreated since, also if it never wrote
	t.creation.at, t.creation.asked = info.Created, asked
	return info.Created, nil
}

// forgetCreation makes the next call of Created ask.
func (t *Tracker) forgetCreation() {
	t.creation.mu.Lock()
	defer t.creation.mu.Unlock()
	t.creation.asked = time.Time{}
}
