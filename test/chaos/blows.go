package main

import (
	"context"
	"net/http"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/process"
)

// blow is one way in which a storm breaks something.
type blow = weighted[func(ctx context.Context) error]

func (s *storm) blows() []blow {
	onWorker := func(do func(*worker) error) func(context.Context) error {
		return func(context.Context) error {
			living := s.living()
			if len(living) == 0 {
				return nil
			}
			return do(pick(s.random, living...))
		}
	}
	full := func(stream string) func(context.Context) error {
		return func(ctx context.Context) error { return s.fillStream(ctx, stream) }
	}
	blows := []blow{
		{4, onWorker(s.killWorker)},
		{3, onWorker(s.drainWorker)},
		{3, onWorker(s.stallWorker)},
		{4, onWorker(func(p *worker) error { return s.breakLink(p.breakNATS) })},
		{3, onWorker(func(p *worker) error { return s.breakLink(p.breakAPI) })},
		{2, s.apiOutage},
		{2, func(ctx context.Context) error { return s.killNodesOnce(ctx, pick(s.random, s.nodes...)) }},
		{1, func(ctx context.Context) error { return s.killNodesOnce(ctx, s.nodes...) }},
		{1, full(resultStream)},
		{1, full(recordStream)},
		{1, full(objectStream)},
	}
	if s.older == "" {
		blows = append(blows, blow{2, s.gatewayOutage}, blow{1, s.deleteBucketInCalm}, blow{1, s.pause})
	}
	return blows
}

// replace starts a worker some time later.
func (s *storm) replace() {
	s.repairAfter(s.upTo(2*time.Second), func(ctx context.Context) error {
		_, err := s.launchWorker(ctx)
		return err
	})
}

func (s *storm) killWorker(victim *worker) error {
	s.replace()
	return victim.Kill()
}

// drainWorker is SIGTERM, if the worker is ready for it. The worker must exit in time.
func (s *storm) drainWorker(victim *worker) error {
	if !victim.listens() || s.broken[victim.Name] {
		return nil
	}
	s.replace()
	s.broken[victim.Name] = true
	signaled := time.Now()
	end := s.faults.note(fault{worker: victim.Name, what: "SIGTERM of", over: true})
	s.repairAfter(drainTimeout+2*time.Second, func(ctx context.Context) error {
		defer end()
		if err := victim.exit(ctx, signaled, drainTimeout); err != nil {
			s.note("%v", err)
		}
		return ctx.Err()
	})
	return victim.Signal(syscall.SIGTERM)
}

func (s *storm) stallWorker(victim *worker) error {
	resume, err := victim.stall()
	if err == nil {
		s.repairAfter(s.upTo(2*ackWait), func(context.Context) error { return resume() })
	}
	return err
}

func (s *storm) breakLink(breaks func(string, func(*link.Link)) (heal func())) error {
	way := pick(s.random, waysToBreak()...)
	heal := breaks(way.name, way.do)
	s.repairAfter(s.upTo(2*ackWait), func(context.Context) error { heal(); return nil })
	return nil
}

func (s *storm) apiOutage(ctx context.Context) error {
	return s.outage(ctx, s.upTo(3*time.Second), pick(s.random,
		anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway), anchortest.RateLimited(1),
		anchortest.Hang(), anchortest.Reset().ButAccepted(), anchortest.Answer(http.StatusUnauthorized), anchortest.Fault{After: 3 * time.Second}))
}

// gatewayOutage is an outage in which something else answers for the API: a gateway, or a limit with a malformed wait.
func (s *storm) gatewayOutage(ctx context.Context) error {
	return s.outage(ctx, s.upTo(6*time.Second), pick(s.random,
		gatewayPage(s.random), anchortest.RetryAfter(http.StatusServiceUnavailable, malformedWait(s.random)),
		anchortest.HTML(http.StatusProxyAuthRequired)))
}

func (s *storm) outage(ctx context.Context, during time.Duration, f anchortest.Fault) error {
	var end func()
	return s.breakOnce(ctx, "API", during,
		func(ctx context.Context) error {
			end = s.faults.note(fault{what: "outage of the API", doubt: f.After > 0})
			return s.api.fail(ctx, f)
		},
		func(ctx context.Context) error {
			defer end()
			return s.api.recover(ctx)
		})
}

// calmInterval is the least time between two deletions of the bucket. Each needs a calm.
const calmInterval = 45 * time.Second

// deleteBucketInCalm deletes the bucket while nothing else is broken and no request of a finished task can be
// redelivered. If a worker died at the same time, nothing would be left to show what it had started.
func (s *storm) deleteBucketInCalm(ctx context.Context) error {
	if n := len(s.deletions); n > 0 && time.Since(s.deletions[n-1].from) < calmInterval || time.Since(s.began) < calmInterval/3 {
		return nil
	}
	if err := s.repairAll(ctx); err != nil {
		return err
	}
	if err := s.heal(ctx); err != nil {
		return err
	}
	if err := process.Pass(ctx, takeoverTime); err != nil {
		return err
	}
	return s.deleteBucket(ctx)
}

// killNodesOnce kills nodes, unless some are dead already, and starts them again some time later.
func (s *storm) killNodesOnce(ctx context.Context, nodes ...*node) error {
	var end func()
	return s.breakOnce(ctx, "NATS", s.upTo(2*ackWait),
		func(context.Context) (err error) {
			end, err = s.killNodes(nodes...)
			return err
		},
		func(ctx context.Context) error {
			defer end()
			return restart(ctx, nodes...)
		})
}

// fillStream makes a stream full for a while. If NATS is down it does nothing.
func (s *storm) fillStream(ctx context.Context, stream string) error {
	if s.broken["NATS"] {
		return nil
	}
	var end func()
	var usual jetstream.StreamConfig
	return s.breakOnce(ctx, stream, s.upTo(2*ackWait),
		func(ctx context.Context) (err error) {
			end = s.faults.note(streamFull(stream))
			usual, err = s.limit(ctx, stream)
			return err
		},
		func(ctx context.Context) error { return s.removeLimit(ctx, usual, end) })
}

// removeLimit ends what fillStream began, as soon as NATS is up.
func (s *storm) removeLimit(ctx context.Context, usual jetstream.StreamConfig, end func()) error {
	if s.broken["NATS"] {
		s.repairAfter(time.Second, func(ctx context.Context) error { return s.removeLimit(ctx, usual, end) })
		return nil
	}
	defer end()
	return s.update(ctx, usual)
}
