package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	measureInterval = 15 * time.Second // between two measurements of the backlog
	measureTimeout  = 2 * time.Second  // of one measurement
)

// Backlog measures the requests that no worker has taken. All workers report the same ones.
type Backlog struct {
	stream  jetstream.Stream
	source  jetstream.Consumer
	subject string
	clock   *servertime.Clock

	waiting prometheus.Gauge
	oldest  prometheus.Gauge
}

// NewBacklog returns the backlog of a pull consumer of the stream: the messages to subject that the consumer has not
// delivered. clock is the server's. Its gauges are NaN until Run has measured.
func NewBacklog(
	stream jetstream.Stream, source jetstream.Consumer, subject string, clock *servertime.Clock, reg prometheus.Registerer,
) *Backlog {
	auto := promauto.With(reg)
	b := &Backlog{
		stream: stream, source: source, subject: subject, clock: clock,
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_requests_waiting", Help: "Requests waiting in the stream for a worker (sampled every 15 s).",
		}),
		oldest: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_oldest_waiting_seconds", Help: "Age of the oldest request whose workflow has not started.",
			ConstLabels: prometheus.Labels{"where": "stream"},
		}),
	}
	b.set(math.NaN(), math.NaN())
	return b
}

// Run measures every 15 s until ctx ends. While NATS does not answer, the gauges are NaN.
func (b *Backlog) Run(ctx context.Context) {
	for ctx.Err() == nil {
		waiting, oldest, err := b.measure(ctx)
		if err != nil {
			waiting, oldest = math.NaN(), math.NaN()
		}
		b.set(waiting, oldest)
		_ = timer.Sleep(ctx, measureInterval-rand.N(measureInterval/5), nil)
	}
}

func (b *Backlog) set(waiting, oldest float64) {
	b.oldest.Set(oldest)
	b.waiting.Set(waiting)
}

// measure returns how many requests wait, and the age of the oldest in seconds.
func (b *Backlog) measure(ctx context.Context) (waiting, oldest float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	info, err := b.source.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return 0, 0, err
	}
	msg, err := b.stream.GetMsg(ctx, info.Delivered.Stream+1, jetstream.WithGetMsgSubject(b.subject))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // it was taken meanwhile, and is the last one
		return 0, 0, nil
	case err != nil:
		return 0, 0, fmt.Errorf("read the oldest request: %w", err)
	}
	return float64(info.NumPending), max(0, b.clock.Now().Sub(msg.Time).Seconds()), nil
}
