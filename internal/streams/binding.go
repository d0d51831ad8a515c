package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// Bounds of one look at the streams, and of the time between two: until they are right, and from then on.
const (
	bindTimeout     = 5 * time.Second
	bindWait        = 100 * time.Millisecond
	bindLongestWait = 5 * time.Second
	bindInterval    = 30 * time.Second
)

const (
	// silenceBorne is for how long the last answer about the streams counts while none comes: the election of a
	// leader takes seconds, and says nothing about the streams.
	silenceBorne = time.Minute

	// pullsBorne is how many pulls in a row may be refused while the worker is ready.
	pullsBorne = 4
)

// errNotConnected says that there is no server to ask.
var errNotConnected = errors.New("no connection to NATS")

// errNoAnswer says that a look found nothing wrong and did not see everything.
var errNoAnswer = errors.New("no answer about the streams")

// Binding knows whether the streams are as they have to be. It creates those that are missing, also later: a
// server that came back empty has none. It mends what breaks a rule at the start only, or workers with other
// settings would mend each other's for as long as a deploy takes.
type Binding struct {
	nc     *nats.Conn
	cfg    Config
	denied *Violations
	clock  *servertime.Clock
	log    zerolog.Logger

	recreated chan struct{}

	looking sync.Mutex // held during a look, so that an older answer does not follow a newer one

	mu      sync.Mutex
	found   *Resources // by the first look that found nothing wrong; may be read without mu after Await
	looked  bool       // an answer came
	wrong   string     // what the last look that was answered found; guarded by mu, like all below
	notes   string     // what it found that a worker works with
	silent  time.Time  // since when no answer comes; zero where the last look was answered
	silence string     // what stood in its way
	refused int        // pulls in a row
	refusal string     // of the last of them
	state   state
}

// NewBinding returns one that has not looked yet. With each look clock learns the server's time; nil: nobody asks.
func NewBinding(nc *nats.Conn, cfg Config, denied *Violations, clock *servertime.Clock, log zerolog.Logger) *Binding {
	if clock == nil {
		clock = &servertime.Clock{}
	}
	return &Binding{nc: nc, cfg: cfg, denied: denied, clock: clock, log: log, recreated: make(chan struct{}, 1)}
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

// Keep looks from time to time until ctx ends: at once when NATS has taken a subscription away or is back after an
// outage, and soon after a look that got no answer.
func (b *Binding) Keep(ctx context.Context) {
	connected := b.nc.StatusChanged(nats.CONNECTED)
	defer b.nc.RemoveStatusListener(connected)
	interval := func() time.Duration { return bindInterval/2 + rand.N(bindInterval) }
	next := interval()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.denied.lost:
		case <-connected:
		case <-time.After(next):
		}
		next = interval()
		if err := b.Look(ctx); errors.Is(err, errNoAnswer) { // it is logged, and readiness tells
			next = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(bindLongestWait): // a subscription that is still denied would be retried in a tight loop
		}
	}
}

// Look looks once. What is wrong is logged when it changes; that NATS is away is told elsewhere.
func (b *Binding) Look(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return errNotConnected
	}
	b.looking.Lock()
	defer b.looking.Unlock()
	callCtx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	r, findings, err := b.provision(callCtx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(callCtx.Err(), context.DeadlineExceeded) && b.denied.subscription() {
		_ = b.nc.ForceReconnect() // the answers' subscription is not asked for again before
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.observe(findings)
	if err == nil {
		err = b.judge(findings)
	} else {
		b.answered(err.Error(), "")
	}
	if err == nil && b.found == nil {
		b.found = r
		b.log.Info().Str("domain", b.state.domain).Msg("streams are bound")
	}
	return err
}

func (b *Binding) provision(ctx context.Context) (*Resources, []Finding, error) {
	if err := CheckServer(b.nc); err != nil {
		return nil, nil, err
	}
	js, err := b.cfg.NATS.JetStream(b.nc)
	if err != nil {
		return nil, nil, err
	}
	p := provisioner{js: js, cfg: b.cfg, clock: b.clock, create: b.cfg.NATS.Provision, mend: b.cfg.NATS.Provision && !b.isBound(), ask: askDirectly}
	r := p.run(ctx)
	return r, p.findings, nil
}

// judge takes in what a look found. A look that got no answer, and found nothing wrong, leaves the last answer.
func (b *Binding) judge(findings []Finding) error {
	var wrong, notes, silence []string
	for _, f := range findings {
		for _, problem := range f.Problems {
			text := told(f.What, problem.Says)
			switch {
			case problem.Unanswered:
				silence = append(silence, text)
			case problem.Warning:
				notes = append(notes, text)
			default:
				wrong = append(wrong, text)
			}
		}
	}
	if len(wrong) == 0 && len(silence) > 0 {
		if b.silent.IsZero() {
			b.silent = time.Now()
		}
		b.silence = strings.Join(silence, "; ")
		return fmt.Errorf("%w: %s", errNoAnswer, b.silence)
	}
	b.answered(strings.Join(append(wrong, silence...), "; "), strings.Join(notes, "; "))
	if b.wrong != "" {
		return errors.New(b.wrong)
	}
	return nil
}

// told names a thing and what it does or has, as in "stream TASKS: max age must be 0" and "bucket x is full".
func told(what, says string) string {
	for _, verb := range []string{"is ", "belongs "} {
		if strings.HasPrefix(says, verb) {
			return what + " " + says
		}
	}
	return what + ": " + says
}

// answered notes what a look that was answered found, and logs it where it is new.
func (b *Binding) answered(wrong, notes string) {
	b.looked, b.silent, b.silence = true, time.Time{}, ""
	if wrong != "" && wrong != b.wrong {
		b.log.Error().Str("error", wrong).Msg("streams missing or misconfigured, retrying")
	}
	if notes != "" && notes != b.notes {
		b.log.Warn().Str("note", notes).Msg("streams could be better")
	}
	b.wrong, b.notes = wrong, notes
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
	case !b.looked && b.silence != "":
		return false, "no answer yet: " + b.silence
	case !b.looked:
		return false, "not looked at yet"
	case b.wrong != "":
		return false, b.wrong
	case !b.silent.IsZero() && time.Since(b.silent) > silenceBorne:
		return false, fmt.Sprintf("no answer for %v: %s", time.Since(b.silent).Round(time.Second), b.silence)
	case b.refused > pullsBorne:
		return false, fmt.Sprintf("%d pulls in a row were refused: %s", b.refused, b.refusal)
	case b.notes != "":
		return true, "bound, but " + b.notes
	default:
		return true, "bound"
	}
}

// PullRefused notes that the server refused a pull, and did not just go away. After five in a row the worker is
// not ready, until PullOK.
func (b *Binding) PullRefused(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused++
	b.refusal = err.Error()
}

// PullOK notes that a pull was answered, with requests or without.
func (b *Binding) PullOK() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = 0
}
