package control

import (
	"context"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// Steering knows what operators ask of the workers: which tasks are canceled, and whether submissions are paused. Run
// watches the bucket for that. While NATS is away, the last known state counts. If the bucket is missing, is another
// application's, or may not be watched, nothing is canceled or paused.
//
// A mark and a pause end when their key is deleted or expires, and in any case TRACKER_TTL after they were stored. All
// times are by the NATS server's clock.
//
// The marks have a budget of memory. Those beyond it are not kept: then Canceled and Until ask the bucket for each task
// that they do not know. Its methods may be called by many goroutines at once, Run once.
type Steering struct {
	bucket  *Bucket
	clock   *servertime.Clock
	log     zerolog.Logger
	budget  int64 // of one set of marks, in bytes
	patient time.Duration
	onPause func(pause task.Pause, paused bool)

	looked chan struct{} // closed when Canceled waits no longer for the first look
	settle func()        // closes it

	mu      sync.Mutex
	marks   *marks     // as of the last complete look, with the changes since then; guarded by mu
	next    *marks     // the same of the look that is not complete, or nil; guarded by mu
	waiters waiters    // guarded by mu
	pause   pauseState // guarded by mu

	// Whether the bucket was read completely and can be used, and how often the connection had been made again when that
	// began. What was stored while the connection was lost is not known before the next look. Guarded by mu.
	known           bool
	knownAt, lookAt uint64

	stream    jetstream.Stream // of the latest watch, or nil; guarded by mu
	askFailed time.Time        // when it did not answer; guarded by mu
	silent    time.Time        // since when Canceled has had no answer; zero: it had one; guarded by mu

	endWatch context.CancelCauseFunc // nil if there is no watch; guarded by mu

	warned  bool   // that there are too many marks; owned by the goroutine of Run
	problem string // why the bucket is not watched, as it was logged last; owned by the goroutine of Run

	telling    sync.Mutex
	told       task.Pause    // the last pause that was logged and reported; guarded by telling
	toldPaused bool          // guarded by telling
	wakes      chan struct{} // has room for one signal to keep
}

// NewSteering returns a Steering that knows nothing until Run is called, and makes no call to NATS. The bucket's TTL is
// how long marks and pauses last at most.
func NewSteering(b *Bucket, clock *servertime.Clock, reg prometheus.Registerer, log zerolog.Logger) *Steering {
	s := &Steering{
		bucket: b, clock: clock, log: log, budget: mostMarkBytes, patient: patience,
		looked: make(chan struct{}), waiters: newWaiters(), wakes: make(chan struct{}, 1),
	}
	s.settle = sync.OnceFunc(func() { close(s.looked) })
	s.marks = newMarks(s.budget)
	auto := promauto.With(reg)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_operator_pause", Help: "1 while an operator has paused submissions.",
	}, func() float64 {
		if _, paused := s.Paused(); paused {
			return 1
		}
		return 0
	})
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_cancel_marks", Help: "Cancellations of tasks and batches that the worker keeps in memory.",
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.marks.all))
	})
	return s
}

// parseMark reads a message of a cancel key. valid is false if it cancels nothing any more.
func (s *Steering) parseMark(msg *jetstream.RawStreamMsg) (c canceled, valid bool) {
	expires := s.expiry(msg)
	if jet.IsDeleted(msg) || !s.clock.Now().Before(expires) {
		return canceled{}, false
	}
	c = canceled{task.ParseCancellation(msg.Data), expires.UnixNano()}
	if c.At.IsZero() {
		c.At = msg.Time.UTC()
	}
	return c, true
}

// expiry returns when a message ends: by the TTL that it was written with, or after the bucket's TTL, whichever is first.
func (s *Steering) expiry(msg *jetstream.RawStreamMsg) time.Time {
	return msg.Time.Add(Lifetime(msg.Header, s.bucket.TTL))
}

// Lifetime returns for how long a value of the bucket holds after it was stored: for the TTL in the header of its message, which
// NATS takes as a duration or as a number of seconds, but no longer than longest.
func Lifetime(header nats.Header, longest time.Duration) time.Duration {
	own := header.Get(jetstream.MsgTTLHeader)
	if d, err := time.ParseDuration(own); err == nil && d > 0 {
		return min(longest, d)
	}
	if n, err := strconv.ParseUint(own, 10, 31); err == nil && n > 0 {
		return min(longest, time.Duration(n)*time.Second)
	}
	return longest
}

// note takes a message that the watch has delivered.
func (s *Steering) note(msg *jetstream.RawStreamMsg) {
	key := strings.TrimPrefix(msg.Subject, jet.BucketSubject(s.bucket.cfg.Bucket, ""))
	if key == PauseKey {
		// The messages that a watch begins with can be older than what was read.
		p := s.parsePause(msg)
		s.setPause(p, func(known pauseState) bool { return p.seq >= known.seq })
		return
	}
	t, ok := parseTarget(key)
	if !ok {
		return
	}
	c, valid := s.parseMark(msg)
	s.mu.Lock()
	var ended []*waiter
	fits := true
	switch {
	case valid && s.next != nil:
		fits, ended = s.next.put(t, c), s.waiters.of(t)
	case valid:
		fits, ended = s.marks.put(t, c), s.waiters.of(t)
	default:
		s.marks.remove(t)
		s.next.remove(t)
	}
	s.mu.Unlock()
	for _, w := range ended {
		w.cancel(task.ErrCanceled)
	}
	if !fits && !s.warned {
		s.warned = true
		s.log.Warn().Int64("bytes", s.budget).Msg("too many cancellations to keep, bucket is asked for each task")
	}
}

// sweep removes expired marks.
func (s *Steering) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks.removeExpired(s.clock.Now())
}

// reconnects returns how often the connection to NATS was made again.
func (s *Steering) reconnects() uint64 {
	js := s.bucket.JetStream()
	if js == nil { // before the streams were found
		return 0
	}
	return js.Conn().Stats().Reconnects
}

// beginLook begins to read the bucket, over a connection that had been made again so often. Until endLook the earlier marks
// count as well.
func (s *Steering) beginLook(reconnects uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil { // the look before was not completed
		s.marks.add(s.next)
	}
	s.next = newMarks(s.budget)
	s.lookAt = reconnects
}

// markStale notes that there is no watch: until the next look is complete, the bucket is asked for each task.
func (s *Steering) markStale() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knownAt = math.MaxUint64 // the connection is never made again so often
}

// isUnwatched reports whether the bucket can be used and is not watched now.
func (s *Steering) isUnwatched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known && s.endWatch == nil
}

// endLook forgets the marks that were not read again: their keys are gone.
func (s *Steering) endLook() {
	s.mu.Lock()
	s.marks, s.next = s.next, nil
	s.known, s.knownAt = true, s.lookAt
	s.mu.Unlock()
	s.settle()
	s.problem = ""
}

// forget removes all marks and the pause, because the bucket cannot be used.
func (s *Steering) forget() {
	s.mu.Lock()
	s.marks, s.next, s.known, s.stream = newMarks(s.budget), nil, false, nil
	s.mu.Unlock()
	s.setPause(pauseState{}, func(pauseState) bool { return true })
}
