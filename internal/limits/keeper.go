// Package limits keeps the tasks that all workers hold within what the plan runs at once.
//
// The cap on them is the MaxAckPending of the workers' consumer: it holds from the pull to the event, across crashes, and
// NATS lets it be changed at any time. A lower one stops new deliveries and lets redeliveries pass. So nobody has to
// lead: each worker looks at the plan, at what the API refuses, and at what is held, and whoever finds that the cap
// should change writes it under the key "limits", by compare-and-set. All workers see to it that the consumer has it.
package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// Consumer is the consumer that all workers share.
type Consumer interface {
	// Pending returns how many tasks all workers hold.
	Pending(ctx context.Context) (Pending, error)
	// SetMost changes the most that they may hold.
	SetMost(ctx context.Context, most int) error
}

// Pending is how many tasks all workers hold.
type Pending struct {
	Held      int
	Most      int    // that they may hold
	Delivered uint64 // deliveries so far
}

// Parts are the things that a Keeper works with.
type Parts struct {
	Plan     func(ctx context.Context) (browsers int, err error) // of the account; -1: no limit, 0: not told
	Consumer Consumer
	Running  func(ctx context.Context) (int, error)      // workflows that run, on all workers
	Sessions func(ctx context.Context) (Sessions, error) // of the account; nil: nobody counts them
	Refusals func() uint64                               // submissions of this worker that were refused because too many browsers run
	Store    task.Shared
	Clock    *servertime.Clock
}

// Key is the key of the cap in the control bucket.
const Key = "limits"

const (
	turnInterval = 2 * time.Second  // between two looks
	turnTimeout  = 5 * time.Second  // of one look
	applyTimeout = 2 * time.Second  // of one change of the consumer: a login without the permission gets no answer
	applyRetry   = 30 * time.Second // after a change that failed
	planInterval = 5 * time.Minute  // between two questions about the plan
	planRetry    = 5 * time.Second  // after one that was not answered
	planTimeout  = 3 * time.Second  // of one question
	planConfirm  = 10 * time.Second // until a plan that differs from the last one is asked for again

	// aloneAfter is for how long the store must fail before a worker goes by the plan alone.
	aloneAfter = 10 * time.Minute
)

// Keeper keeps the cap. Its methods may be called by many goroutines at once, Run by one.
type Keeper struct {
	Parts
	most int // MAX_IN_FLIGHT_TOTAL; 0: auto
	log  zerolog.Logger

	// Owned by the goroutine of Run.
	plan       int       // as last told; 0: not yet
	planAt     time.Time // when it was told, by the workers' clock
	othersAt   time.Time // when the sessions were last counted, by the workers' clock
	others     Sessions
	countAt    time.Time // when they may be counted again
	otherPlan  int       // told last, but not twice in a row
	askPlanAt  time.Time
	changedAt  time.Time // when the cap last changed
	refusals   uint64    // until then
	wasRefused bool      // something was refused since then,
	running    int       // while that many workflows ran
	denied     string    // why the consumer could not be changed; logged when it changes
	applyAt    time.Time // when it may be tried again
	lostAt     time.Time // since when the store fails; zero: it works
	raisedTo   int       // the limit to which this worker has raised the consumer's without the store

	mu      sync.Mutex
	current Cap // guarded by mu
	applied int // the consumer's; guarded by mu
}

// New returns a Keeper that has not looked at anything. most is the largest cap, or 0 for what the plan allows.
func New(most int, p Parts, reg prometheus.Registerer, log zerolog.Logger) *Keeper {
	k := &Keeper{Parts: p, most: most, log: log}
	for source, value := range map[string]func() int{
		"cap":  func() int { return k.Cap().InFlight },
		"plan": func() int { return k.Cap().Plan },
	} {
		promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
			Name: "capstan_in_flight_limit", Help: "Maximum number of tasks in progress on all workers: the present cap, and the plan's browsers (-1: no limit, 0: unknown).",
			ConstLabels: prometheus.Labels{"source": source},
		}, func() float64 { return float64(value()) })
	}
	return k
}

// Cap returns the cap as this worker last saw it. The zero Cap means that it has seen none yet.
func (k *Keeper) Cap() Cap {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// Describe returns the cap and its reason for /readyz and, if the consumer has another, that too.
func (k *Keeper) Describe() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.current.InFlight == 0:
		return "not known yet"
	case k.applied != k.current.InFlight:
		return fmt.Sprintf("%d tasks in progress on all workers; %d would be right: %s", k.applied, k.current.InFlight, k.current.Reason)
	default:
		return fmt.Sprintf("%d tasks in progress on all workers: %s", k.current.InFlight, k.current.Reason)
	}
}

// Look looks once, and changes the cap if it should change. A worker looks before it takes its first task.
func (k *Keeper) Look(ctx context.Context) {
	k.askForPlan(ctx)
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	pending, err := k.Consumer.Pending(ctx)
	if err != nil {
		return // the streams' own check reports what is wrong with the consumer
	}
	before, wasApplied, applied := k.Cap(), k.isApplied(), pending.Most
	c, err := k.agree(ctx, pending)
	switch {
	case err != nil:
		c = k.alone(applied)
	case c.InFlight == 0:
		c = Cap{InFlight: applied, Reason: "the plan is not known"}
	}
	if wasApplied && c.InFlight == before.InFlight && applied != c.InFlight {
		k.log.Warn().Int("got", applied).Int("want", c.InFlight).Msg("consumer's max ack pending was changed by others, setting it back")
	}
	if applied != c.InFlight && !time.Now().Before(k.applyAt) && k.apply(ctx, c.InFlight) {
		applied = c.InFlight
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.applied = c, applied
}

// isApplied reports whether the consumer had the cap at the last look.
func (k *Keeper) isApplied() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current.InFlight != 0 && k.applied == k.current.InFlight
}

// Run looks every two seconds until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for timer.Sleep(ctx, turnInterval*3/4+rand.N(turnInterval/2), nil) == nil {
		k.Look(ctx)
	}
}

// askForPlan asks for the plan if the last answer is old. Without an answer the last one counts. Another plan than before
// counts once it is told twice.
func (k *Keeper) askForPlan(ctx context.Context) {
	now := time.Now()
	if now.Before(k.askPlanAt) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	browsers, err := k.Plan(ctx)
	if err != nil {
		k.askPlanAt = now.Add(planRetry)
		return
	}
	k.askPlanAt = now.Add(planInterval)
	switch browsers = max(browsers, -1); {
	case browsers == 0:
	case k.plan == 0, browsers == k.plan, browsers == k.otherPlan:
		k.plan, k.planAt, k.otherPlan = browsers, k.Clock.Now(), 0
	default: // one wrong answer must not stop the night
		k.otherPlan, k.askPlanAt = browsers, now.Add(planConfirm)
	}
}

// agree returns the cap that all workers keep. If it should change, this worker changes it, unless another is faster. The
// error says that the store cannot be read or written.
func (k *Keeper) agree(ctx context.Context, pending Pending) (Cap, error) {
	value, revision, err := k.Store.Get(ctx, Key)
	if err != nil {
		return Cap{}, err
	}
	before := parseCap(value)
	k.countSessions(ctx, before)
	after := before.next(k.see(ctx, pending, before), k.Clock.Now())
	if after != before {
		if value, err = json.Marshal(after); err == nil {
			err = k.Store.Put(ctx, Key, value, revision)
		}
	}
	switch {
	case errors.Is(err, task.ErrConflict): // the next look reads what the other has written
		after = before
	case err != nil:
		return Cap{}, err
	case after.InFlight != before.InFlight:
		k.changedAt, k.refusals = after.ChangedAt, k.Refusals()
		k.log.Info().Int("from", before.InFlight).Int("to", after.InFlight).Int("plan", after.Plan).Str("reason", after.Reason).Msg("limit changed")
	}
	k.lostAt, k.raisedTo = time.Time{}, 0
	return after, nil
}

// alone returns the cap of a worker without the store, which cannot agree with the others. It lowers the consumer's limit
// to what this worker knows of the plan. It raises it only if the store fails for long, and once: a worker that knows of
// a lower plan or setting lowers it again.
func (k *Keeper) alone(applied int) Cap {
	if k.lostAt.IsZero() {
		k.lostAt = time.Now()
	}
	c := Cap{InFlight: applied, Plan: k.plan, Most: k.most}
	highest := Ceiling(k.plan, k.most)
	mayRaise := time.Since(k.lostAt) >= aloneAfter && k.raisedTo != highest
	switch {
	case k.plan == 0 && k.most == 0:
		c.Reason = "the plan is not known"
		return c
	case applied > highest, applied < highest && mayRaise:
		c.InFlight, k.raisedTo = highest, highest
	}
	c.Reason = "another worker or a person has set it"
	if c.InFlight == highest {
		c.Reason = c.boundReason()
	}
	return c
}

// see returns what was seen since the cap last changed. What the API refused before that has had its effect. So has what
// it refuses while more tasks are held than the cap allows: they were pulled before the change.
func (k *Keeper) see(ctx context.Context, pending Pending, c Cap) seen {
	refusals := k.Refusals()
	if !c.ChangedAt.Equal(k.changedAt) || pending.Held > c.InFlight {
		k.changedAt, k.refusals = c.ChangedAt, refusals
	}
	s := seen{
		plan: k.plan, planAt: k.planAt, most: k.most, held: pending.Held, delivered: pending.Delivered, refused: refusals != k.refusals,
		others: k.others.notOf(pending.Held), othersAt: k.othersAt,
	}
	if s.refused && !k.wasRefused {
		running, err := k.Running(ctx)
		if err != nil {
			running = 0
		}
		k.running = running
	}
	k.wasRefused = s.refused
	s.running = k.running
	return s
}

// apply gives the consumer the cap, and reports whether it could.
func (k *Keeper) apply(ctx context.Context, most int) bool {
	applyCtx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	err := k.Consumer.SetMost(applyCtx, most)
	if err == nil {
		k.denied = ""
		return true
	}
	k.applyAt = time.Now().Add(applyRetry)
	if text := err.Error(); text != k.denied && ctx.Err() == nil {
		k.denied = text
		k.log.Warn().Err(err).Int("limit", most).Msg("consumer's max ack pending not changed")
	}
	return false
}
