package poller

import (
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/task"
)

// Times of a hold for which the API asks none: they double from the first to the longest, and differ by
// the jitter, so that workers do not come back together.
const (
	firstHold   = time.Second
	longestHold = time.Minute
	holdJitter  = 0.2 // up or down, as a part of the time
)

// hold keeps all polls back while the API wants none. Holds are numbered, and each poll carries the
// number of the latest one it knows of, its generation: what a poll meets that left before a hold began
// does not make it longer, unless the API asks for a later moment.
type hold struct {
	log zerolog.Logger

	mu         sync.Mutex
	generation uint64 // holds so far
	held       bool   // until a poll was answered, and so also for a while after until
	until      time.Time
	backoff    *backoff.ExponentialBackOff
}

func newHold(reg prometheus.Registerer, log zerolog.Logger) *hold {
	h := &hold{log: log, backoff: &backoff.ExponentialBackOff{
		InitialInterval: firstHold, MaxInterval: longestHold, Multiplier: 2, RandomizationFactor: holdJitter,
	}}
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_polls_held", Help: "Whether the API wants no status calls now.",
	}, h.value)
	return h
}

func (h *hold) value() float64 {
	if _, until := h.admit(); until.IsZero() {
		return 0
	}
	return 1
}

// admit returns the generation of a poll that leaves now, or until when it is held.
func (h *hold) admit() (generation uint64, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held && time.Now().Before(h.until) {
		return 0, h.until
	}
	return h.generation, time.Time{}
}

// answered ends the hold, if the poll left after it.
func (h *hold) answered(generation uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.held || generation != h.generation {
		return
	}
	h.held, h.until = false, time.Time{}
	h.backoff.Reset()
	h.log.Info().Msg("polls resumed")
}

// failed begins a hold, or the next one, where the failure means that no poll is wanted.
func (h *hold) failed(generation uint64, failure *task.StatusError) {
	if !concernsAll(failure) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if generation != h.generation {
		if h.held {
			h.until = later(h.until, time.Now().Add(failure.RetryAfter))
		}
		return
	}
	wait := failure.RetryAfter
	if wait <= 0 {
		wait = h.backoff.NextBackOff()
	}
	if !h.held {
		h.log.Warn().Int("status", failure.HTTPStatus).Stringer("wait", wait).Msg("polls held")
	}
	h.generation++
	h.held = true
	h.until = later(h.until, time.Now().Add(wait))
}

// concernsAll reports whether a failure is the API's answer to this worker, rather than to this poll.
func concernsAll(failure *task.StatusError) bool {
	switch failure.HTTPStatus {
	case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return true
	case http.StatusServiceUnavailable:
		return failure.RetryAfter > 0
	default:
		return false
	}
}
