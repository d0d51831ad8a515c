package dashboard_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/dashboard"
)

// link is a connection whose state a test sets.
type link struct{ isAway, isClosed atomic.Bool }

func (l *link) IsConnected() bool { return !l.isAway.Load() && !l.isClosed.Load() }
func (l *link) IsClosed() bool    { return l.isClosed.Load() }

// running runs a reader in fake time until the test ends, and counts its reads.
func running(t *testing.T, conn *link, refresh func(context.Context) error) (r dashboard.Reader, reads *atomic.Int64) {
	t.Helper()
	reads = &atomic.Int64{}
	r = dashboard.NewReader(conn, func(ctx context.Context) error {
		reads.Add(1)
		return refresh(ctx)
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r, reads
}

func succeed(context.Context) error { return nil }

// readsIn returns how many reads a minute has.
func readsIn(reads *atomic.Int64) int64 {
	before := reads.Load()
	<-time.After(time.Minute) // of fake time
	return reads.Load() - before
}

func TestTwentyOpenPagesReadNoMoreThanOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, reads := running(t, &link{}, succeed)
		if got := readsIn(reads); got < 3 || got > 5 {
			t.Errorf("nobody looks: got %d reads a minute, want 4", got)
		}
		closed := []func(){r.Open()}
		if got := readsIn(reads); got < 59 || got > 61 {
			t.Errorf("one page: got %d reads a minute, want 60", got)
		}
		for range 19 {
			closed = append(closed, r.Open())
		}
		if got := readsIn(reads); got < 59 || got > 61 {
			t.Errorf("twenty pages: got %d reads a minute, want 60", got)
		}
		for _, c := range closed {
			c()
		}
		if got := readsIn(reads); got > 5 {
			t.Errorf("nobody looks any more: got %d reads a minute, want 4", got)
		}
	})
}

func TestAReadThatTakesLongIsFollowedByAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, reads := running(t, &link{}, func(context.Context) error {
			<-time.After(3 * time.Second)
			return nil
		})
		defer r.Open()()
		if got := readsIn(reads); got < 9 || got > 11 {
			t.Errorf("got %d reads a minute, want 10", got)
		}
	})
}

func TestAPageWaitsForAReadAfterAnAct(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := running(t, &link{}, succeed)
		<-time.After(time.Minute)
		began, _, _ := r.Fresh(t.Context())
		if age := time.Since(began); age > 2*time.Second {
			t.Errorf("got figures that are %v old, want fresh ones", age)
		}
		r.Demand()
		acted := time.Now()
		if began, _, _ := r.Fresh(t.Context()); began.Before(acted) {
			t.Errorf("got a read of %v before the act, want one after it", acted.Sub(began))
		}
	})
}

func TestAPageDoesNotWaitForASlowRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := running(t, &link{}, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		asked := time.Now()
		r.Fresh(t.Context())
		if time.Since(asked) > time.Second {
			t.Errorf("got a page after %v, want it within a second", time.Since(asked))
		}
	})
}

// The next read is not due yet, so waiting for it would not help.
func TestAPageShowsTheFiguresOfASlowReadAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := running(t, &link{}, func(context.Context) error {
			<-time.After(8 * time.Second)
			return nil
		})
		<-time.After(12 * time.Second)
		asked := time.Now()
		if began, _, _ := r.Fresh(t.Context()); began.IsZero() || time.Since(asked) > 0 {
			t.Errorf("got a page after %v, want it at once", time.Since(asked))
		}
	})
}

func TestALostConnectionEndsTheRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, isSlow := &link{}, atomic.Bool{}
		isSlow.Store(true)
		r, _ := running(t, conn, func(ctx context.Context) error {
			if isSlow.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		defer r.Open()()
		<-time.After(10 * time.Second)
		conn.isAway.Store(true)
		<-time.After(2 * time.Second)
		if _, away, _ := r.Fresh(t.Context()); !away {
			t.Error("got a connection, want none")
		}
		isSlow.Store(false)
		conn.isAway.Store(false)
		<-time.After(3 * time.Second)
		if began, away, problem := r.Fresh(t.Context()); away || problem != "" || time.Since(began) > 2*time.Second {
			t.Errorf("got away %v, %q and figures of %v ago, want fresh ones", away, problem, time.Since(began))
		}
	})
}

func TestAReadThatFailsIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := running(t, &link{}, func(context.Context) error { return errors.New("no stream") })
		<-time.After(2 * time.Second)
		if _, _, problem := r.Fresh(t.Context()); problem != "no stream" {
			t.Errorf("got %q, want why", problem)
		}
	})
}

func TestAConnectionThatIsClosedForGoodEndsTheReader(t *testing.T) {
	t.Parallel()
	conn := &link{}
	conn.isClosed.Store(true)
	if err := dashboard.NewReader(conn, succeed).Run(t.Context()); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v, want %v", err, nats.ErrConnectionClosed)
	}
}

func TestVisitorsShareAPageOfOneReading(t *testing.T) {
	t.Parallel()
	if !dashboard.SameFragment("/tasks", 7, "/tasks", 7) {
		t.Error("got two pages for one address and reading, want one")
	}
	if dashboard.SameFragment("/tasks", 7, "/tasks", 8) || dashboard.SameFragment("/tasks", 7, "/", 7) {
		t.Error("got one page for two readings or two addresses, want two")
	}
}
