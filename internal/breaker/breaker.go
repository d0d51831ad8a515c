// Package breaker holds back calls that the API does not want now.
//
// A [Breaker] is closed, open until a moment, or half-open. While it is closed every call may leave. An answer
// that concerns all calls opens it: no call leaves until the open time is over. Then it is half-open: one call
// leaves as the probe, and the others wait for the probe's answer, which closes the breaker or opens it again.
//
// A breaker stays open for as long as the API asked. Where the API asked for nothing, the open times double from
// 1 s to 60 s, with jitter, so that workers do not come back together, and start over after a success.
//
// An answer to a call that left before the latest opening is old news. It neither opens nor closes the breaker,
// except that the open time lasts until the latest moment that the API asked for.
//
// # Which answers concern everybody
//
// Submissions and polls read the API's answers by the same rule: an answer concerns everybody where any other
// call of this worker would get it, too, and waiting may help. [OfSubmission] and [OfPoll] tell.
//
//	answer                             submission                        poll
//	429                                everybody                         everybody
//	401, 402: key, credits             everybody                         everybody
//	403                                everybody, except with a session  everybody
//	407: a proxy wants a login         everybody                         everybody
//	503, 529 that name a time          everybody                         everybody
//	408, 425: the request was not read everybody                         that poll
//	no connection                      everybody                         that poll
//	4xx that is no answer of the API   everybody                         that poll
//	5xx, no answer                     that task: the outcome is unknown that poll
//	any other 4xx                      that task: refused                that poll: about its workflow
//
// The two columns differ where a call that is made in vain costs something else. A failed submission can cost a
// task, so even the answers that concern one task open the breaker when they come in a row; package admission
// counts them. A failed poll costs nothing but itself: polls come at their own pace anyway, and a pause would
// only delay the news that workflows have ended.
package breaker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/capstan-worker/capstan/internal/task"
)

// Open times for which the API asks nothing.
const (
	firstWait   = time.Second
	longestWait = time.Minute
	jitter      = 0.2 // up or down, as a part of the wait
)

// Breaker decides whether a call may leave now. Its methods may be called by many goroutines at once.
type Breaker struct {
	longest time.Duration // bounds what the API can ask for

	mu         sync.Mutex
	generation uint64        // guarded by mu; begins at 1 and grows with each opening
	open       bool          // guarded by mu; open or half-open
	reason     task.Reason   // guarded by mu; of the latest opening
	opened     time.Time     // guarded by mu; the latest opening
	until      time.Time     // guarded by mu; no probe leaves before
	probing    bool          // guarded by mu; the probe is under way
	changed    chan struct{} // guarded by mu; closed when those that wait should look again
	backoff    *backoff.ExponentialBackOff
}

// New returns a closed breaker. An answer can ask for no more than longest, counted from the opening: a broken
// header must not stop a worker for a day.
func New(longest time.Duration) *Breaker {
	return &Breaker{
		longest:    longest,
		generation: 1,
		changed:    make(chan struct{}),
		backoff: &backoff.ExponentialBackOff{
			InitialInterval: firstWait, MaxInterval: longestWait, Multiplier: 2, RandomizationFactor: jitter,
		},
	}
}

// Ticket belongs to a call that leaves. The zero Ticket is for a call that leaves although the breaker is open:
// its answer is old news.
type Ticket struct {
	generation uint64 // as the breaker's when the call was let through
	probe      bool
}

// Probe reports whether the call is the one by which a half-open breaker finds out how the API is.
func (t Ticket) Probe() bool { return t.probe }

// Admit lets a call leave, as the probe where the breaker is half-open. ok is false where no call may leave now.
// The caller hands an admitted ticket to exactly one of Succeed, Answer, Open and Unused.
func (b *Breaker) Admit() (ticket Ticket, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked() {
		return Ticket{}, false
	}
	b.probing = b.open
	return Ticket{generation: b.generation, probe: b.open}, true
}

// Wait blocks until Admit would let a call leave. The error is that of ctx, which ended first.
func (b *Breaker) Wait(ctx context.Context) error {
	for {
		wait, changed := b.next()
		if wait == 0 {
			return nil
		}
		if err := sleep(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// forever is longer than any probe is under way.
const forever = 24 * time.Hour

// next returns how long no call may leave, 0 where one may, and a channel that is closed when that changes.
func (b *Breaker) next() (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.blocked():
		return 0, nil
	case b.probing:
		return forever, b.changed
	default:
		return time.Until(b.until), b.changed
	}
}

func sleep(ctx context.Context, wait time.Duration, changed <-chan struct{}) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Succeed takes in that the API did what the call asked for. It closes the breaker, and the open times start
// over. It reports whether the breaker was open, and why.
func (b *Breaker) Succeed(ticket Ticket) (reason task.Reason, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation != b.generation {
		return "", false
	}
	b.backoff.Reset()
	return b.close()
}

// Answer takes in that the API judged the call on its merits and said no. It closes the breaker, and the open
// times go on to grow. It reports whether the breaker was open, and why.
func (b *Breaker) Answer(ticket Ticket) (reason task.Reason, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation != b.generation {
		return "", false
	}
	return b.close()
}

// Open takes in an answer that concerns everybody. The breaker is open for asked, or for the next of the waits
// that grow where asked is 0, but for no longer than most where that is not 0. It returns the time until the
// probe may leave, and whether this call opened the breaker, be it for the first time or again.
func (b *Breaker) Open(ticket Ticket, reason task.Reason, asked, most time.Duration) (wait time.Duration, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if ticket.generation != b.generation {
		if b.open && asked > 0 {
			b.extend(now.Add(asked))
		}
		return 0, false
	}
	if asked <= 0 {
		asked = b.backoff.NextBackOff()
	}
	if most > 0 {
		asked = min(asked, most)
	}
	b.generation++
	b.open, b.probing, b.reason, b.opened = true, false, reason, now
	b.extend(now.Add(asked))
	b.signal()
	return b.until.Sub(now), true
}

// Close closes the breaker because other calls have shown that the API is well. The open times start over. It
// reports whether the breaker was open, and why.
func (b *Breaker) Close() (reason task.Reason, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backoff.Reset()
	return b.close()
}

// Closed reports whether every call may leave: the breaker is neither open nor half-open.
func (b *Breaker) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}

// Unused takes in that the call was not made, or told nothing. The next call is the probe in its place.
func (b *Breaker) Unused(ticket Ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation == b.generation && b.probing {
		b.probing = false
		b.signal()
	}
}

// Retry makes a breaker that is open for one of the reasons half-open at once, because what they were about has
// changed: answers to calls that left before are old news. A breaker that is open for another reason stays as it
// is. It reports whether the breaker was open for one of the reasons.
func (b *Breaker) Retry(reasons ...task.Reason) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	concerned := b.open && slices.Contains(reasons, b.reason)
	if b.open && !concerned {
		return false
	}
	b.generation++
	b.until, b.probing = time.Time{}, false
	b.backoff.Reset()
	b.signal()
	return concerned
}

// Current reports whether no opening came after the call was let through.
func (b *Breaker) Current(ticket Ticket) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ticket.generation == b.generation
}

// State returns why the breaker lets no call leave, and when it lets the next one. A breaker that would let the
// probe leave lets a call leave.
func (b *Breaker) State() (reason task.Reason, until time.Time, blocked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.blocked() {
		return "", time.Time{}, false
	}
	return b.reason, b.until, true
}

// blocked reports whether no call may leave. The caller holds mu.
func (b *Breaker) blocked() bool { return b.open && (b.probing || time.Now().Before(b.until)) }

// close closes the breaker. The caller holds mu.
func (b *Breaker) close() (reason task.Reason, closed bool) {
	if !b.open {
		return "", false
	}
	b.open, b.probing, b.until = false, false, time.Time{}
	b.signal()
	return b.reason, true
}

// extend moves the end of the open time to t, never to an earlier moment, and never beyond the longest open
// time. The caller holds mu.
func (b *Breaker) extend(t time.Time) {
	if latest := b.opened.Add(b.longest); t.After(latest) {
		t = latest
	}
	if t.After(b.until) {
		b.until = t
	}
}

// signal wakes those that wait. The caller holds mu.
func (b *Breaker) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}
