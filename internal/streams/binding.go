package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Bounds of one look at the streams, and of the time between two: until they are right, and from then on.
const (
	bindTimeout     = 5 * time.Second
	bindWait        = 100 * time.Millisecond
	bindLongestWait = 5 * time.Second
	bindInterval    = 30 * time.Second
)

// errNotConnected says that there is nobody to ask.
var errNotConnected = errors.New("no connection to NATS")

// Binding knows whether the streams are as they should be. It makes those that are missing, also later: a
// server that came back empty has none. What differs it mends at the start only, or workers with other
// settings would mend each other's for as long as a deploy takes.
type Binding struct {
	nc     *nats.Conn
	cfg    Config
	denied *Denials
	log    zerolog.Logger

	mu     sync.Mutex
	found  *Resources // by the first look that found nothing wrong; may be read without mu after Await
	looked bool
	wrong  string // what the last look found missing or wrong; guarded by mu
}

// NewBinding returns one that has not looked yet.
func NewBinding(nc *nats.Conn, cfg Config, denied *Denials, log zerolog.Logger) *Binding {
	return &Binding{nc: nc, cfg: cfg, denied: denied, log: log}
}

// Found returns the resources. It is called after Await only.
func (b *Binding) Found() *Resources { return b.found }

// Await looks until the streams are right, or ctx ends.
func (b *Binding) Await(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = bindWait, bindLongestWait
	look := func() (struct{}, error) { return struct{}{}, b.Look(ctx) }
	_, err := backoff.Retry(ctx, look, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0))
	return err
}

// Keep looks from time to time until ctx ends, and at once when NATS has taken a subscription away.
func (b *Binding) Keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.denied.lost:
		case <-time.After(bindInterval/2 + rand.N(bindInterval)):
		}
		_ = b.Look(ctx) // it is logged, and readiness tells
		select {
		case <-ctx.Done():
		case <-time.After(bindLongestWait): // what is denied still would be lost, looked for and denied without a pause
		}
	}
}

// Look looks once. What is wrong is logged when it changes; that NATS is away is told elsewhere.
func (b *Binding) Look(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return errNotConnected
	}
	callCtx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	r, err := provision(callCtx, b.nc, b.cfg, !b.isBound())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(callCtx.Err(), context.DeadlineExceeded) && b.denied.subscription() {
		_ = b.nc.ForceReconnect() // the answers' subscription is not asked for again before
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.wrong
	b.looked, b.wrong = true, ""
	if err != nil {
		if b.wrong = err.Error(); b.wrong != was {
			b.log.Error().Err(err).Msg("streams are not as they should be, looking again")
		}
		return err
	}
	if b.found == nil {
		b.found = r
	}
	return nil
}

func (b *Binding) isBound() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.found != nil
}

// Ready is a readiness check.
func (b *Binding) Ready() (ok bool, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.looked:
		return false, "not looked at yet"
	case b.wrong != "":
		return false, b.wrong
	default:
		return true, "bound"
	}
}
