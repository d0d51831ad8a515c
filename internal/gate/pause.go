package gate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/task"
)

// Waits of a pause for which the API asks no time: they double from the first to the longest, and
// differ by the jitter, so that workers do not come back together.
const (
	firstWait   = time.Second
	longestWait = time.Minute
	jitter      = 0.2 // up or down, as a part of the wait
)

// unknownLimit is how many outcomes in a row have to be unknown for a pause.
const unknownLimit = 5

// pause knows whether submissions are paused. Pauses are numbered, and each submission carries the
// number of the latest one it knows of, its generation. During a pause only the probe has the present
// generation.
type pause struct {
	metrics metrics
	log     zerolog.Logger
	back    chan struct{} // the probe is back; room for one signal, as only the first in line waits

	mu         sync.Mutex
	generation uint64 // pauses so far
	paused     bool
	reason     task.Reason
	until      time.Time // no probe leaves before
	probing    bool      // the probe is under way
	unknowns   int       // outcomes in a row that were unknown
	backoff    *backoff.ExponentialBackOff
}

func newPause(log zerolog.Logger) *pause {
	return &pause{
		log:  log,
		back: make(chan struct{}, 1),
		backoff: &backoff.ExponentialBackOff{
			InitialInterval: firstWait, MaxInterval: longestWait, Multiplier: 2, RandomizationFactor: jitter,
		},
	}
}

func (p *pause) state() (reason task.Reason, until time.Time, paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.early() && !p.probing {
		return "", time.Time{}, false
	}
	return p.reason, p.until, true
}

func (p *pause) pausedFor(reason task.Reason) bool {
	now, _, paused := p.state()
	return paused && now == reason
}

// wait blocks until a submission would be admitted. Only the first in line may call it.
func (p *pause) wait(ctx context.Context) error {
	for {
		blocked, over := p.blocked()
		if !blocked {
			return nil
		}
		select {
		case <-over:
		case <-p.back:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// blocked returns what fires when the time of the pause is over; nil while the probe is under way.
func (p *pause) blocked() (blocked bool, over <-chan time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.probing:
		return true, nil
	case p.early():
		return true, time.After(time.Until(p.until))
	default:
		return false, nil
	}
}

// admit lets a submission leave, as the probe if there is a pause.
func (p *pause) admit() (generation uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.probing || p.early() {
		return 0, false
	}
	p.probing = p.paused
	return p.generation, true
}

func (p *pause) early() bool { return p.paused && time.Now().Before(p.until) }

// settle draws the conclusion from what came of a submission.
func (p *pause) settle(generation uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	submitErr, _ := errors.AsType[*task.SubmitError](err)
	if generation != p.generation {
		p.prolong(submitErr)
		return
	}
	if p.probing {
		p.probing = false
		p.signal()
	}
	switch {
	case err == nil:
		p.unknowns = 0
		p.backoff.Reset()
		p.end()
	case errors.Is(err, task.ErrNotSubmitted): // which tells nothing
	case submitErr != nil && submitErr.Outcome == task.NotNow:
		p.begin(submitErr.Reason, submitErr.RetryAfter)
	case submitErr != nil && submitErr.Outcome == task.Refused:
		p.unknowns = 0
		p.end()
	default:
		p.countUnknown()
	}
}

// countUnknown begins a pause when too many outcomes in a row are unknown.
func (p *pause) countUnknown() {
	p.unknowns++
	if p.unknowns >= unknownLimit {
		p.begin(task.Failing, 0)
	}
}

// prolong obeys the Retry-After of a submission that left before the pause began.
func (p *pause) prolong(submitErr *task.SubmitError) {
	if p.paused && submitErr != nil && submitErr.Outcome == task.NotNow {
		p.lastUntil(time.Now().Add(submitErr.RetryAfter))
	}
}

// lastUntil moves the end of the pause to t, never to an earlier moment.
func (p *pause) lastUntil(t time.Time) {
	if t.After(p.until) {
		p.until = t
	}
}

// begin starts the next pause, be it the first or one after a probe that was not accepted. Where the API
// asks for no wait, that is 0, it is the next of those that grow.
func (p *pause) begin(reason task.Reason, wait time.Duration) {
	if wait <= 0 {
		wait = p.backoff.NextBackOff()
	}
	p.metrics.pauses.WithLabelValues(string(reason)).Inc()
	p.generation++
	p.paused, p.reason = true, reason
	p.lastUntil(time.Now().Add(wait))
	p.log.WithLevel(level(reason)).Str("reason", string(reason)).Stringer("wait", wait).Msg("submissions paused")
}

func (p *pause) end() {
	if !p.paused {
		return
	}
	p.paused, p.until = false, time.Time{}
	p.log.Info().Str("reason", string(p.reason)).Msg("submissions resumed")
}

func (p *pause) signal() {
	select {
	case p.back <- struct{}{}:
	default:
	}
}

// level is Error where waiting does not help and a person must look.
func level(reason task.Reason) zerolog.Level {
	switch reason {
	case task.Unauthorized, task.NoCredits, task.Forbidden:
		return zerolog.ErrorLevel
	default:
		return zerolog.WarnLevel
	}
}
