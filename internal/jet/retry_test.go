package jet_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
)

func TestACallIsRetriedUntilItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := slices.Repeat([]error{errNoAnswer}, 5000) // more than an hour
		answers = append(answers, nil)
		attempts, err := retry(t.Context(), answers...)
		if attempts != 5001 || err != nil {
			t.Errorf("got %v after %d attempts, want success after 5001", err, attempts)
		}
	})
}

func TestAFinalErrorEndsTheRetries(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct{ answer, want error }{
		"an error marked as final": {jet.Final(refused), refused},
		"the connection is closed": {nats.ErrConnectionClosed, nats.ErrConnectionClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts, err := retry(t.Context(), errNoAnswer, c.answer)
				if attempts != 2 || !errors.Is(err, c.want) {
					t.Errorf("got %v after %d attempts, want %v after 2", err, attempts, c.want)
				}
			})
		})
	}
}

func TestTheContextEndsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := retry(ctx, errNoAnswer); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want the context's error after 1m", err, time.Since(began))
		}
	})
}

func TestAnAttemptThatHangsIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, attempts := time.Now(), 0
		_, err := jet.Retry(t.Context(), newCall(jet.Quick), func(ctx context.Context) (struct{}, error) {
			attempts++
			if attempts > 1 {
				return struct{}{}, nil
			}
			<-ctx.Done()
			return struct{}{}, ctx.Err()
		})
		if took := time.Since(began); err != nil || took < jet.Quick || took > 2*jet.Quick {
			t.Errorf("got %v after %v, want an answer soon after %v", err, took, jet.Quick)
		}
	})
}

func TestAnOutageIsOneLineInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		call := jet.NewCall("test", time.Minute, prometheus.NewRegistry(), zerolog.New(&out))
		var tasks sync.WaitGroup
		for range 1000 {
			tasks.Go(func() {
				attempts := 0
				_, _ = jet.Retry(t.Context(), call, func(context.Context) (struct{}, error) {
					attempts++
					if attempts == 1 {
						return struct{}{}, errNoAnswer
					}
					return struct{}{}, nil
				})
			})
		}
		tasks.Wait()
		if got := strings.Count(out.String(), "retrying NATS call"); got != 1 {
			t.Errorf("got %d lines, want 1: %s", got, &out)
		}
	})
}

func TestACallIsMeasuredOnceWithItsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, attempts := prometheus.NewRegistry(), 0
		call := jet.NewCall("test", time.Minute, reg, zerolog.Nop())
		_, err := jet.Retry(t.Context(), call, func(context.Context) (struct{}, error) {
			<-time.After(time.Second)
			attempts++
			if attempts < 3 {
				return struct{}{}, errNoAnswer
			}
			return struct{}{}, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP capstan_nats_calls_in_flight Calls to NATS in progress.
# TYPE capstan_nats_calls_in_flight gauge
capstan_nats_calls_in_flight{call="test"} 1
# HELP capstan_nats_retries_total Retries of calls to NATS.
# TYPE capstan_nats_retries_total counter
capstan_nats_retries_total{call="test"} 2
`), "capstan_nats_calls_in_flight", "capstan_nats_retries_total")
		})
		if err != nil {
			t.Error(err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if h := f.Metric[0].Histogram; h != nil && (h.GetSampleCount() != 1 || h.GetSampleSum() < 3) {
				t.Errorf("got %d calls that took %v s, want 1 of 3 s and the waits", h.GetSampleCount(), h.GetSampleSum())
			}
			if g := f.Metric[0].Gauge; g != nil && g.GetValue() != 0 {
				t.Errorf("got %v calls in flight afterwards, want none", g.GetValue())
			}
		}
	})
}

func TestConcurrentAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1024
		call := newCall(time.Minute)
		var now, peak atomic.Int64
		var all sync.WaitGroup
		for range 3 * most {
			all.Go(func() {
				_, err := jet.Retry(t.Context(), call, func(context.Context) (struct{}, error) {
					if n := now.Add(1); n > peak.Load() {
						peak.Store(n)
					}
					defer now.Add(-1)
					<-time.After(time.Second)
					return struct{}{}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := peak.Load(); got != most {
			t.Errorf("got %d concurrent attempts, want %d", got, most)
		}
	})
}
