package main

import (
	"context"
	"net/http"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

// blow is one way in which a storm breaks something, and how often it does.
type blow struct {
	weight int
	strike func(ctx context.Context) error
}

func (s *storm) blows() []blow {
	blows := []blow{
		{4, s.killWorker},
		{3, s.drainWorker},
		{3, s.stallWorker},
		{4, s.breakNATSLink},
		{3, s.breakAPILink},
		{2, s.apiOutage()},
		{2, s.killNode},
		{1, s.killAllNodes},
		{1, s.fillStream(resultStream)},
		{1, s.fillStream(recordStream)},
		{1, s.fillStream(objectStream)},
	}
	if s.older == "" {
		blows = append(blows, blow{2, s.oddOutage()}, blow{1, s.forgetRecords})
	}
	return blows
}

// anyone is a worker that runs; nil where none does.
func (s *storm) anyone() *worker {
	living := s.living()
	if len(living) == 0 {
		return nil
	}
	return pick(s.random, living...)
}

// replace starts a worker some time later.
func (s *storm) replace() {
	s.later(s.upTo(2*time.Second), func(ctx context.Context) error {
		_, err := s.launchWorker(ctx)
		return err
	})
}

func (s *storm) killWorker(context.Context) error {
	victim := s.anyone()
	if victim == nil {
		return nil
	}
	s.replace()
	return victim.Kill()
}

// drainWorker is SIGTERM.
func (s *storm) drainWorker(context.Context) error {
	victim := s.anyone()
	if victim == nil || s.broken[victim.Name] || !victim.listens() {
		return nil
	}
	s.replace()
	s.broken[victim.Name] = true
	told := time.Now()
	end := s.faults.note(fault{worker: victim.Name, what: "SIGTERM of", over: true})
	s.later(drainTimeout+2*time.Second, func(ctx context.Context) error {
		defer end()
		if err := victim.exit(ctx, told, drainTimeout); err != nil {
			s.note("%v", err)
		}
		return ctx.Err()
	})
	return victim.Signal(syscall.SIGTERM)
}

func (s *storm) stallWorker(context.Context) error {
	victim := s.anyone()
	if victim == nil {
		return nil
	}
	resume, err := victim.stall()
	if err == nil {
		s.later(s.upTo(2*ackWait), func(context.Context) error { return resume() })
	}
	return err
}

func (s *storm) breakNATSLink(context.Context) error {
	if victim := s.anyone(); victim != nil {
		way := pick(s.random, waysToBreak()...)
		s.mendLink(victim.breakNATS(way.name, way.do))
	}
	return nil
}

func (s *storm) breakAPILink(context.Context) error {
	if victim := s.anyone(); victim != nil {
		way := pick(s.random, waysToBreak()...)
		s.mendLink(victim.breakAPI(way.name, way.do))
	}
	return nil
}

func (s *storm) mendLink(heal func()) {
	s.later(s.upTo(2*ackWait), func(context.Context) error { heal(); return nil })
}

func (s *storm) apiOutage() func(context.Context) error {
	f := pick(s.random,
		anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway), anchortest.RateLimited(1),
		anchortest.Hang(), anchortest.Reset().ButAccepted(), anchortest.Answer(http.StatusUnauthorized), anchortest.Fault{After: 3 * time.Second})
	return s.outage(s.upTo(3*time.Second), f)
}

// oddOutage is an outage in which something else answers for the API: a gateway, or a limit with an odd wait.
func (s *storm) oddOutage() func(context.Context) error {
	f := pick(s.random,
		gatewayPage(s.random), anchortest.RetryAfter(http.StatusServiceUnavailable, oddWait(s.random)),
		anchortest.HTML(http.StatusProxyAuthRequired))
	return s.outage(s.upTo(6*time.Second), f)
}

func (s *storm) outage(during time.Duration, f anchortest.Fault) func(context.Context) error {
	var end func()
	return s.once("API", during,
		func(ctx context.Context) error {
			end = s.faults.note(fault{what: "outage of the API", doubt: f.After > 0})
			return s.api.fail(ctx, f)
		},
		func(ctx context.Context) error {
			defer end()
			return s.api.recover(ctx)
		})
}

// calmBetween is how much time passes at least between two deletions of the bucket. Each needs a calm.
const calmBetween = 45 * time.Second

// forgetRecords deletes the bucket in a calm: nothing else is broken, and no request comes back whose task has ended.
// With a worker that dies at the same time nobody could know what it had started.
func (s *storm) forgetRecords(ctx context.Context) error {
	if len(s.forgotten) > 0 && time.Since(s.forgotten[len(s.forgotten)-1]) < calmBetween || time.Since(s.began) < calmBetween/3 {
		return nil
	}
	if err := s.mendAll(ctx); err != nil {
		return err
	}
	if err := s.heal(ctx); err != nil {
		return err
	}
	if err := process.Pass(ctx, ackWait+2*time.Second); err != nil {
		return err
	}
	return s.forget(ctx)
}

func (s *storm) killNode(ctx context.Context) error {
	return s.kill(ctx, pick(s.random, s.nodes...))
}

func (s *storm) killAllNodes(ctx context.Context) error {
	return s.kill(ctx, s.nodes...)
}

// kill kills nodes unless some are dead, and brings them back some time later.
func (s *storm) kill(ctx context.Context, nodes ...*node) error {
	var end func()
	return s.once("NATS", s.upTo(2*ackWait),
		func(context.Context) (err error) {
			end, err = s.killNodes(nodes...)
			return err
		},
		func(ctx context.Context) error {
			defer end()
			return startAgain(ctx, nodes...)
		})(ctx)
}

// fillStream lets a stream take nothing more. While NATS is away it does nothing.
func (s *storm) fillStream(stream string) func(context.Context) error {
	var end func()
	var usual jetstream.StreamConfig
	return func(ctx context.Context) error {
		if s.broken["NATS"] {
			return nil
		}
		return s.once(stream, s.upTo(2*ackWait),
			func(ctx context.Context) (err error) {
				end = s.faults.note(noRoom(stream))
				usual, err = s.limit(ctx, stream)
				return err
			},
			func(ctx context.Context) error { return s.makeRoom(ctx, usual, end) })(ctx)
	}
}

// makeRoom ends what fillStream began, as soon as NATS is there to be told.
func (s *storm) makeRoom(ctx context.Context, usual jetstream.StreamConfig, end func()) error {
	if s.broken["NATS"] {
		s.later(time.Second, func(ctx context.Context) error { return s.makeRoom(ctx, usual, end) })
		return nil
	}
	defer end()
	return s.update(ctx, usual)
}
