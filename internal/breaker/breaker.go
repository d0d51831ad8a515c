// Package breaker is a circuit breaker: it holds back calls that would fail anyway.
//
// A [Breaker] is closed, open until a certain time, or half-open. While it is closed, every call may leave. An answer
// that concerns all calls opens it: no call leaves until the open time is over. Then it is half-open: one call leaves
// as the probe, and the others wait for its answer, which closes the breaker or opens it again.
//
// A breaker stays open for as long as the API asked. If the API did not ask, the open times double from 1 s to 60 s
// and start over after a success. They have jitter, so that workers do not all retry at once.
//
// An answer to a call that left before the latest opening is stale. It neither opens nor closes the breaker, but it
// can extend the open time until a later moment that the API asked for.
//
// # Which answers open the breaker
//
// An answer opens the breaker if every other call of this worker would get it too, and waiting may help. Package
// anchor reads the reason from the answer, for submissions and polls alike. [OfSubmission] and [OfPoll] decide by it:
//
//	answer                               reason         submission                        poll
//	429                                  rate_limited   all                               all
//	401, 402: key, credits               unauthorized,  all                               all
//	                                     no_credits
//	403                                  forbidden      all, but see below                all
//	407: a proxy requires a login        proxy_login    all                               all
//	503, 529 with a Retry-After          unavailable    all                               all
//	408, 425: the request was not read   unready        all                               that poll
//	4xx that is not from the API         not_the_api    all                               that poll
//	no connection                        unreachable    all                               that poll
//	5xx, no answer                       -              that task: the outcome is unknown that poll
//	any other 4xx                        -              that task: it is refused          that poll: about its workflow
//
// A 403 for a request that names a browser session can be about the session; package admission counts those.
//
// The columns differ because a failed call costs different things. A failed submission can cost a task, so package
// admission also opens the breaker after several answers in a row that each concern one task. A failed poll costs
// nothing: polls keep their own pace, and a pause would only delay the detection of ended workflows.
package breaker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// Open times for which the API asks nothing.
const (
	firstWait   = time.Second
	longestWait = time.Minute
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
	changed    chan struct{} // guarded by mu; closed when waiting calls must check the state again
	backoff    *backoff.ExponentialBackOff
}

// New returns a closed breaker. longest bounds the open time that the API can ask for, counted from the opening: a
// broken header must not stop a worker for a day.
func New(longest time.Duration) *Breaker {
	return &Breaker{
		longest:    longest,
		generation: 1,
		changed:    make(chan struct{}),
		backoff:    timer.Growing(firstWait, longestWait),
	}
}

// Ticket belongs to a call that leaves. The zero Ticket is for a call that leaves although the breaker is open: its
// answer is stale.
type Ticket struct {
	generation uint64 // the breaker's when it admitted the call
}

// Admit lets a call leave, as the probe if the breaker is half-open. ok is false if no call may leave now. The caller
// passes the ticket of an admitted call to exactly one of Succeed, Answer, Open and Unused.
func (b *Breaker) Admit() (ticket Ticket, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked() {
		return Ticket{}, false
	}
	b.probing = b.open
	return Ticket{generation: b.generation}, true
}

// Wait blocks until Admit would let a call leave. It returns ctx's error if that ends first.
func (b *Breaker) Wait(ctx context.Context) error {
	for {
		wait, changed := b.blockedFor()
		if wait == 0 {
			return nil
		}
		if err := timer.Sleep(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// longestProbe is longer than any probe is under way.
const longestProbe = 24 * time.Hour

// blockedFor returns how long no call may leave, or 0 if one may, and a channel that is closed when that changes.
func (b *Breaker) blockedFor() (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.blocked():
		return 0, nil
	case b.probing:
		return longestProbe, b.changed
	default:
		return time.Until(b.until), b.changed
	}
}

// Succeed records that the API did what the call asked for. It closes the breaker, and the open times start over. It
// reports whether the breaker was open, and why.
func (b *Breaker) Succeed(ticket Ticket) (reason task.Reason, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation != b.generation {
		return "", false
	}
	b.backoff.Reset()
	return b.close()
}

// Answer records that the API judged the call on its merits and refused it. It closes the breaker, but the open times
// do not start over. It reports whether the breaker was open, and why.
func (b *Breaker) Answer(ticket Ticket) (reason task.Reason, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation != b.generation {
		return "", false
	}
	return b.close()
}

// Open records an answer that concerns all calls. The breaker opens for the time that the API asked for or, if asked
// is 0, for the next open time. most bounds that time; 0 means no bound. Open returns the time until the probe may
// leave, and whether this answer opened the breaker, the first time or again.
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

// Close closes the breaker because calls past another breaker have shown that the API works. The open times start
// over. It reports whether the breaker was open, and why.
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

// Unused records that the call was not made, or that its answer says nothing about other calls. If it was the probe,
// the next call is the probe in its place.
func (b *Breaker) Unused(ticket Ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket.generation == b.generation && b.probing {
		b.probing = false
		b.signal()
	}
}

// Retry makes a breaker that is open for one of the reasons half-open at once, because their cause has changed, and
// reports whether it was. Answers to earlier calls become stale, also those of a closed breaker, and the open times start
// over. A breaker that is open for another reason does not change.
func (b *Breaker) Retry(reasons ...task.Reason) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	concerned := b.open && slices.Contains(reasons, b.reason)
	if b.open && !concerned {
		return false
	}
	b.halfOpen()
	b.backoff.Reset()
	return concerned
}

// Probe makes a breaker that is open for a reason half-open at once, because its cause may have changed, and reports
// whether it was. Unlike after Retry, the open times go on growing if the probe fails.
func (b *Breaker) Probe(reason task.Reason) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open || b.reason != reason || b.probing {
		return false
	}
	b.halfOpen()
	return true
}

// halfOpen lets the next call leave as the probe. The caller holds mu.
func (b *Breaker) halfOpen() {
	b.generation++
	b.until, b.probing = time.Time{}, false
	b.signal()
}

// Current reports whether the breaker has not opened since it admitted the call.
func (b *Breaker) Current(ticket Ticket) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ticket.generation == b.generation
}

// State returns why no call may leave, and until when. blocked is false if a call may leave, as the probe or not.
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

// signal wakes the waiting calls. The caller holds mu.
func (b *Breaker) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}
