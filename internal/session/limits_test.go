package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/task"
)

// slowAPI takes some time for each call, and counts them.
type slowAPI struct {
	takes            time.Duration
	fails            *task.SessionError // of EndSession; nil: it succeeds
	calls, now, most atomic.Int32
}

func (a *slowAPI) call(ctx context.Context) error {
	a.calls.Add(1)
	now := a.now.Add(1)
	defer a.now.Add(-1)
	for most := a.most.Load(); now > most && !a.most.CompareAndSwap(most, now); most = a.most.Load() {
	}
	select {
	case <-time.After(a.takes):
		return nil
	case <-ctx.Done():
		return &task.SessionError{Message: "no complete answer"}
	}
}

func (a *slowAPI) CreateSession(ctx context.Context, _ task.SessionRequest) (task.NewSession, error) {
	return task.NewSession{ID: "s"}, a.call(ctx)
}

func (a *slowAPI) Session(ctx context.Context, id string) (task.Session, error) {
	return task.Session{ID: id, Status: "completed", Steps: new(0)}, a.call(ctx)
}

func (a *slowAPI) EndSession(ctx context.Context, _ string) error {
	if err := a.call(ctx); err != nil || a.fails == nil {
		return err
	}
	return a.fails
}

func (a *slowAPI) FindSessions(ctx context.Context, _ ...string) ([]task.Session, error) {
	return []task.Session{{ID: "s", Status: "running"}}, a.call(ctx)
}

// A thousand tasks end at once, while each call takes ten seconds: no more than 32 are under way, and each task goes on
// after about half a minute, whether its session has ended or not.
func TestManyEndsAtOnceWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &slowAPI{takes: 10 * time.Second}
		s := session.New(api, session.DefaultWaits(), rate.NewLimiter(rate.Inf, 0), zerolog.Nop())
		var confirmed atomic.Int32
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				began := time.Now()
				end, err := s.End(t.Context(), "s")
				if took := time.Since(began); err != nil || took > 30*time.Second {
					t.Errorf("got %v after %v, want an answer within 30s", err, took)
				}
				if end.Confirmed {
					confirmed.Add(1)
				} else if end.Why != "other calls to the API took all the time" && end.Why != "no complete answer" {
					t.Errorf("got the reason %q", end.Why)
				}
			})
		}
		group.Wait()
		if most, ended := api.most.Load(), confirmed.Load(); most != 32 || ended < 32 || ended > 96 {
			t.Errorf("got %d calls at once and %d ends, want 32 and the first ones", most, ended)
		}
	})
}

// The API fails for long, and every task goes on when its time is up. A drain does not wait for that.
func TestAnEndThatFailsTakesHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &slowAPI{takes: 100 * time.Millisecond, fails: &task.SessionError{HTTPStatus: 503, Message: "busy", RetryAfter: 7 * time.Second}}
		s := session.New(api, session.DefaultWaits(), rate.NewLimiter(rate.Inf, 0), zerolog.Nop())
		began := time.Now()
		end, err := s.End(t.Context(), "s")
		if took := time.Since(began); err != nil || end.Why != "503: busy" || took != 30*time.Second || api.calls.Load() != 5 {
			t.Errorf("got %+v, %v after %v and %d calls, want five in 30s", end, err, took, api.calls.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		if end, err = s.End(ctx, "s"); !errors.Is(err, context.Canceled) || end.Confirmed || time.Since(began) != time.Second {
			t.Errorf("got %+v, %v after %v, want the end of the context", end, err, time.Since(began))
		}
	})
}

// Each call takes a token of the limit that submissions and polls share.
func TestEachCallTakesAToken(t *testing.T) {
	for name, c := range map[string]struct {
		act   func(context.Context, *session.Sessions) error
		fails *task.SessionError
		calls int32
	}{
		"create": {act: func(ctx context.Context, s *session.Sessions) error {
			_, err := s.Create(ctx, task.SessionRequest{})
			return err
		}, calls: 1},
		"gone": {act: func(ctx context.Context, s *session.Sessions) error { _, err := s.Gone(ctx, "s"); return err }, calls: 1},
		"end":  {act: func(ctx context.Context, s *session.Sessions) error { _, err := s.End(ctx, "s"); return err }, calls: 2},
		"tagged": {act: func(ctx context.Context, s *session.Sessions) error {
			ids, err := s.Tagged(ctx, "a")
			return errors.Join(err, s.EndAll(ctx, ids))
		}, calls: 2},
		"end of one that has ended": {
			act:   func(ctx context.Context, s *session.Sessions) error { _, err := s.End(ctx, "s"); return err },
			fails: &task.SessionError{HTTPStatus: 401}, calls: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &slowAPI{fails: c.fails}
				s := session.New(api, session.DefaultWaits(), rate.NewLimiter(1, 1), zerolog.Nop())
				began := time.Now()
				err := c.act(t.Context(), s)
				want := time.Duration(c.calls-1) * time.Second // the first has its token at once
				if took := time.Since(began).Round(time.Millisecond); err != nil || api.calls.Load() != c.calls || took != want {
					t.Errorf("got %v, %d calls in %v, want %d in %v", err, api.calls.Load(), took, c.calls, want)
				}
			})
		})
	}
}
