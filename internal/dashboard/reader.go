package dashboard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	// refreshInterval is the least time between the beginnings of two reads. A read that takes long is followed by a
	// pause as long as itself.
	refreshInterval = time.Second

	// idleInterval is the time between two reads while nobody looks, so that the next page is complete at once.
	idleInterval = 15 * time.Second

	// interest is for how long after a request somebody counts as looking.
	interest = 5 * time.Second

	// freshWait is how long a page waits for a read rather than show older figures.
	freshWait = 700 * time.Millisecond

	// actedWait is how long it waits for a read that began after the visitor has changed something.
	actedWait = 3 * time.Second

	// connectionInterval is the time between two looks at the connection.
	connectionInterval = 200 * time.Millisecond
)

// connection is the connection to NATS, as far as the reader asks for its state.
type connection interface {
	IsConnected() bool
	IsClosed() bool
}

// reader reads NATS for all pages.
type reader struct {
	conn    connection
	refresh func(context.Context) error
	log     zerolog.Logger
	wake    chan struct{} // holds a value when somebody looks
	urgent  chan struct{} // holds a value when something was changed

	mu       sync.Mutex
	reading  reading       // guarded by mu, as are all of these
	changed  chan struct{} // closed with the next change of reading
	asked    time.Time     // when somebody last looked
	lookers  int           // pages that are open
	demanded time.Time     // the next page needs a read that began after this
}

// reading is how far the reader is.
type reading struct {
	number  uint64    // grows with each change
	began   time.Time // the last read that succeeded
	took    time.Duration
	away    bool   // NATS is not connected
	problem string // why the last read failed, or ""
}

func newReader(conn connection, refresh func(context.Context) error, log zerolog.Logger) *reader {
	return &reader{conn: conn, refresh: refresh, log: log, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), changed: make(chan struct{})}
}

// run reads until ctx ends. The error is nats.ErrConnectionClosed if the connection was closed for good.
func (r *reader) run(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	changed := make(chan struct{}, 1)
	go func() {
		defer close(watched)
		r.watchConnection(watching, changed)
	}()
	defer func() { stop(); <-watched }()
	for ctx.Err() == nil {
		if r.conn.IsClosed() {
			return nats.ErrConnectionClosed
		}
		took := r.read(ctx, changed)
		r.pause(ctx, max(refreshInterval-took, min(took, idleInterval)))
	}
	return nil
}

// read reads once, unless NATS is away. It stops if the connection is lost, of which changed tells: a call over a lost one
// waits for seconds. It returns how long the read took; one that was stopped counts as none.
func (r *reader) read(ctx context.Context, changed <-chan struct{}) (took time.Duration) {
	if !r.conn.IsConnected() {
		return 0
	}
	began := time.Now()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.refresh(reading) }()
	for {
		select {
		case err := <-ended:
			r.note(ctx, began, err)
			if reading.Err() != nil {
				return 0
			}
			return time.Since(began)
		case <-changed:
			if !r.conn.IsConnected() {
				stop()
			}
		}
	}
}

// note takes the end of a read.
func (r *reader) note(ctx context.Context, began time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.reading.problem
	switch {
	case err == nil:
		r.reading.began, r.reading.took, r.reading.problem = began, time.Since(began), ""
	case ctx.Err() != nil, errors.Is(err, context.Canceled): // the connection was lost, which is shown
		return
	default:
		r.reading.problem = err.Error()
	}
	if err != nil && before == "" {
		r.log.Warn().Err(err).Msg("queue not read")
	}
	r.announce()
}

// announce tells all that wait that there is something new. The caller holds r.mu.
func (r *reader) announce() {
	r.reading.number++
	close(r.changed)
	r.changed = make(chan struct{})
}

// watchConnection notes when the connection is lost and restored.
func (r *reader) watchConnection(ctx context.Context, changed chan<- struct{}) {
	tick := time.NewTicker(connectionInterval)
	defer tick.Stop()
	for {
		isAway := !r.conn.IsConnected()
		r.mu.Lock()
		if isAway != r.reading.away {
			r.reading.away = isAway
			r.announce()
			select {
			case changed <- struct{}{}:
			default: // nothing is being read
			}
			r.wakeUp()
		}
		r.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// wakeUp ends the pause between two reads.
func (r *reader) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pause waits until the next read is due: after the shortest time while somebody looks, and else when somebody does.
func (r *reader) pause(ctx context.Context, shortest time.Duration) {
	due, idle := time.NewTimer(shortest), time.NewTimer(max(idleInterval, shortest))
	defer due.Stop()
	defer idle.Stop()
	select {
	case <-due.C:
	case <-r.urgent:
		return
	case <-ctx.Done():
		return
	}
	if r.isLookedAt() {
		return
	}
	select {
	case <-r.wake:
	case <-r.urgent:
	case <-idle.C:
	case <-ctx.Done():
	}
}

// isLookedAt reports whether a page is open, or was asked for a moment ago.
func (r *reader) isLookedAt() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookers > 0 || time.Since(r.asked) < interest
}

// open counts an open page until the function that it returns is called.
func (r *reader) open() (closed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookers++
	r.wakeUp()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lookers--
	}
}

// demand makes the next page wait for a read that begins after now, for something was changed.
func (r *reader) demand() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.demanded = time.Now()
	select {
	case r.urgent <- struct{}{}:
	default:
	}
}

// now returns how far the reader is, and a channel that is closed with the next change.
func (r *reader) now() (reading, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reading, r.changed
}

// fresh returns how far the reader is, once that is fresh, or after a moment.
func (r *reader) fresh(ctx context.Context) reading {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, actedWait)
	defer cancel()
	patience := time.NewTimer(freshWait)
	defer patience.Stop()
	for {
		r.mu.Lock()
		r.asked = time.Now()
		current, changed := r.reading, r.changed
		isDemanded := current.began.Before(r.demanded)
		isFresh := !isDemanded && time.Since(current.began) < 2*refreshInterval+2*current.took
		r.mu.Unlock()
		if isFresh || current.away || !isDemanded && time.Since(began) >= freshWait {
			return current
		}
		r.wakeUp()
		select {
		case <-changed:
		case <-patience.C:
		case <-bounded.Done():
			return current
		}
	}
}
