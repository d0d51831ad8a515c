package consumer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Time between two looks at the backlog, and the longest that one may take.
const (
	lookInterval = 15 * time.Second
	lookTimeout  = 2 * time.Second
)

// Backlog measures the requests that no worker has taken yet. All workers see the same ones.
type Backlog struct {
	stream  jetstream.Stream
	source  jetstream.Consumer
	subject string

	waiting prometheus.Gauge
	oldest  prometheus.Gauge
}

// NewBacklog returns the backlog of a consumer of the stream that pulls what is published to subject. Its
// gauges are NaN until the first look.
func NewBacklog(stream jetstream.Stream, source jetstream.Consumer, subject string, reg prometheus.Registerer) *Backlog {
	auto := promauto.With(reg)
	b := &Backlog{
		stream: stream, source: source, subject: subject,
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_waiting_requests", Help: "Requests that no worker has taken, as of the last look.",
		}),
		oldest: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_oldest_waiting_seconds", Help: "Age of the oldest request whose workflow has not begun.",
			ConstLabels: prometheus.Labels{"where": "stream"},
		}),
	}
	b.measured(math.NaN(), math.NaN())
	return b
}

// Run looks from time to time until ctx ends. While there is no answer the gauges are NaN: nobody knows.
func (b *Backlog) Run(ctx context.Context) {
	for ctx.Err() == nil {
		waiting, oldest, err := b.look(ctx)
		if err != nil {
			waiting, oldest = math.NaN(), math.NaN()
		}
		b.measured(waiting, oldest)
		wait(ctx, lookInterval-rand.N(lookInterval/5))
	}
}

func (b *Backlog) measured(waiting, oldest float64) {
	b.oldest.Set(oldest)
	b.waiting.Set(waiting)
}

// look returns how many requests wait, and for how many seconds the oldest has.
func (b *Backlog) look(ctx context.Context) (waiting, oldest float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info, err := b.source.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return 0, 0, err
	}
	msg, err := b.stream.GetMsg(ctx, info.Delivered.Stream+1, jetstream.WithGetMsgSubject(b.subject))
	if err != nil {
		return 0, 0, fmt.Errorf("read the oldest request: %w", err)
	}
	return float64(info.NumPending), max(0, time.Since(msg.Time).Seconds()), nil
}
