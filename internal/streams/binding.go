package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// checkTimeout bounds one check of all streams. The waits lie between two checks: from minCheckWait on, growing, until
// the streams can be used, and about checkInterval from then on.
const (
	checkTimeout  = 5 * time.Second
	minCheckWait  = 100 * time.Millisecond
	maxCheckWait  = 5 * time.Second
	checkInterval = 30 * time.Second
)

// errNotConnected is returned if there is no server to ask.
var errNotConnected = errors.New("no connection to NATS")

// Binding keeps a worker bound to its streams: it checks them until they can be used, and from then on
// twice a minute. Its methods may be called by many goroutines at once.
//
// It creates those that are missing, even later: a server that came back empty has none. It repairs
// violations only when the worker starts. Otherwise, during a deploy, workers with different settings would
// undo each other's changes.
type Binding struct {
	nc         *nats.Conn
	cfg        Config
	violations *PermissionViolations
	clock      *servertime.Clock
	log        zerolog.Logger

	// recreated has room for one value, so that a check never waits for its receiver.
	recreated chan struct{}

	// checking is held during a check, so that an older result does not replace a newer one. Lock it before
	// mu.
	checking sync.Mutex

	mu sync.Mutex

	// found is set by the first check without a problem. It is written once, with checking and mu held, and
	// never after Await has returned, so Found reads it without a lock.
	found *Resources

	readiness readiness // guarded by mu
	observed  observed  // guarded by mu
}

// NewBinding returns a Binding that has not checked anything. With each check clock learns the server's time; it may be
// nil.
func NewBinding(nc *nats.Conn, cfg Config, violations *PermissionViolations, clock *servertime.Clock, log zerolog.Logger) *Binding {
	if clock == nil {
		clock = &servertime.Clock{}
	}
	return &Binding{nc: nc, cfg: cfg, violations: violations, clock: clock, log: log, recreated: make(chan struct{}, 1)}
}

// Found returns the resources. It may be called only after Await has returned nil.
func (b *Binding) Found() *Resources { return b.found }

// Await checks the streams until they can be used. It returns ctx's error if ctx ends first. It logs what
// it waits for, as Check does.
func (b *Binding) Await(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = minCheckWait, maxCheckWait
	check := func() (struct{}, error) { return struct{}{}, b.Check(ctx) }
	_, err := backoff.Retry(ctx, check, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0))
	return err
}

// Keep checks the streams from time to time until ctx ends: at once after NATS denied a subscription or the worker
// reconnected, and soon after a check that got no answer.
func (b *Binding) Keep(ctx context.Context) {
	connected := b.nc.StatusChanged(nats.CONNECTED)
	defer b.nc.RemoveStatusListener(connected)
	interval := func() time.Duration { return checkInterval/2 + rand.N(checkInterval) }
	wait := interval()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.violations.subscriptionDenied:
		case <-connected:
		case <-time.After(wait):
		}
		wait = interval()
		if err := b.Check(ctx); errors.Is(err, errNoAnswer) { // it is logged, and readiness reports it
			wait = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(maxCheckWait): // a subscription that is still denied would be retried in a tight loop
		}
	}
}

// Check checks all streams once, which takes five seconds at most. It returns nil if a worker can use them, warnings or
// not. Problems are logged when they change, except for a lost connection, which Connect logs.
func (b *Binding) Check(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return errNotConnected
	}
	b.checking.Lock()
	defer b.checking.Unlock()
	callCtx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, reports, err := b.provision(callCtx)
	if ctx.Err() != nil { // the worker stops, and what is unanswered says nothing
		return ctx.Err()
	}
	// After a denied subscription no reply arrives, even once the permission is granted: the client
	// subscribes again only on a new connection.
	if errors.Is(callCtx.Err(), context.DeadlineExceeded) && b.violations.ofSubscription() {
		_ = b.nc.ForceReconnect()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.observed.update(reports, b.cfg) {
		b.log.Warn().Msg("request stream or bucket of records recreated or rolled back")
		select {
		case b.recreated <- struct{}{}:
		default:
		}
	}
	if err == nil {
		err = b.readiness.judge(reports, b.log)
	} else {
		b.readiness.answered(err.Error(), "", b.log)
	}
	if err == nil && b.found == nil {
		b.found = r
		b.log.Info().Str("domain", b.observed.domain).Msg("streams bound")
	}
	return err
}

// provision walks over the rules, as a worker that starts or as one that runs. The caller holds b.checking.
// The error means that no resource could be asked about: the server is too old, or a setting cannot be
// used.
func (b *Binding) provision(ctx context.Context) (*Resources, []*Report, error) {
	if err := CheckServer(b.nc); err != nil {
		return nil, nil, err
	}
	js, err := b.cfg.NATS.JetStream(b.nc)
	if err != nil {
		return nil, nil, err
	}
	p := provisioner{
		js: js, cfg: b.cfg, clock: b.clock, create: b.cfg.NATS.Provision, repair: b.cfg.NATS.Provision && b.found == nil,
		ask: func(ctx context.Context, call func(context.Context) error) error { return call(ctx) },
	}
	r := p.run(ctx)
	return r, p.reports, nil
}

// Recreated receives after a check that found the request stream or the bucket of records recreated, or the last
// sequence of the bucket lower than before. One value may stand for several changes.
func (b *Binding) Recreated() <-chan struct{} { return b.recreated }

// TrackerFull reports whether the bucket of records was full at the last check. A new submission could not be recorded.
func (b *Binding) TrackerFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.observed.trackerFull
}

// Clock describes whether this machine's clock is in sync with NATS', as a line for /readyz. A difference
// does not make the worker unready, because the worker corrects it.
func (b *Binding) Clock() string {
	if skew := DescribeSkew(b.clock.Skew()); skew != "" {
		return skew
	}
	return "in sync with NATS"
}

// DescribeSkew says how far this machine's clock is off, or returns "" if that is no more than servertime.MaxSkew.
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
