package main

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/test/chaos/link"
)

// stops are workers that are told to stop, with tasks in all stages.
func stops() []scenario {
	return []scenario{
		{name: "drain", about: "SIGTERM of one worker of two, again and again, with tasks in all stages", short: true, run: drainAgain},
		{name: "drain-in-answer", about: "SIGTERM in the middle of POSTs: their answers are recorded first", short: true, run: drainInAnswer},
		{name: "drain-cut", about: "SIGTERM while the link to NATS is down: it exits, and its tasks move on after ACK_WAIT", run: drainCut},
	}
}

func drainAgain(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for range 3 {
		if err := w.ask(ctx, w.mixed(w.tasks/6)...); err != nil {
			return err
		}
		oldest := w.living()[0]
		if _, err := w.startWorker(ctx); err != nil {
			return err
		}
		if err := oldest.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

func drainInAnswer(ctx context.Context, w *world) error {
	victim, err := momentNamed("in-answer").bring(ctx, w)
	if err != nil {
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	if err := victim.drain(ctx); err != nil {
		return err
	}
	_, err = w.startWorker(ctx)
	return err
}

// workerWith starts a worker and gives it n tasks, which run for long.
func (w *world) workerWith(ctx context.Context, n int) (*worker, error) {
	p, err := w.startWorker(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.ask(ctx, times(n, plain(awayLonger))...); err != nil {
		return nil, err
	}
	return p, w.waitRunning(ctx, n)
}

// drainCut tells a worker to stop that cannot give back what it holds.
func drainCut(ctx context.Context, w *world) error {
	victim, err := w.workerWith(ctx, w.tasks/4)
	if err != nil {
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	heal := victim.breakNATS("down", (*link.Link).Down)
	defer heal()
	began := time.Now()
	if err := victim.drain(ctx); err != nil {
		return err
	}
	w.measure("exit", time.Since(began), drainTimeout+time.Second)
	return nil
}

// outages are NATS away, and links to it that are broken.
func outages() []scenario {
	return []scenario{
		{name: "nats-kill", about: "kill -9 and restart of NATS under load, three times", short: true, run: natsKilled(3, 300*time.Millisecond)},
		{name: "nats-kill-long", about: "kill -9 of NATS, away for longer than ACK_WAIT", short: true, run: natsKilled(1, awayLonger)},
		{name: "nats-kill-in-post", about: "the same in the middle of POSTs: their answers are recorded", run: natsKilledInPost},
		{name: "nats-link-cut", about: "links to NATS cut, half-way through a message too, under load", short: true, run: linksCut},
		{name: "nats-link-down", about: "one worker's link to NATS down for longer than ACK_WAIT", run: linkBroken("down", (*link.Link).Down)},
		{name: "nats-link-stalled", about: "one worker's link to NATS silent for longer than ACK_WAIT", run: linkBroken("stalled", (*link.Link).Stall)},
		{name: "nats-link-slow", about: "one worker's link to NATS slow", run: linkBroken("slow", slow(20*time.Millisecond))},
	}
}

func slow(d time.Duration) func(*link.Link) { return func(l *link.Link) { l.Slow(d) } }

func natsKilled(rounds int, away time.Duration) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		if err := w.startWorkers(ctx, 2); err != nil {
			return err
		}
		for range rounds {
			if err := w.ask(ctx, w.mixed(w.tasks/2/rounds)...); err != nil {
				return err
			}
			if err := w.withoutNodes(ctx, away, w.nodes...); err != nil {
				return err
			}
			if err := w.natsReady(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

func natsKilledInPost(ctx context.Context, w *world) error {
	if _, err := momentNamed("in-answer").bring(ctx, w); err != nil {
		return err
	}
	for i := range w.asked {
		w.asked[i].want.Certain = true
	}
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	return w.withoutNodes(ctx, awayLonger, w.nodes...)
}

func linksCut(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for round := range 6 {
		if err := w.ask(ctx, w.mixed(w.tasks/12)...); err != nil {
			return err
		}
		how, do := "cut", (*link.Link).Cut
		if round%2 == 1 {
			how, do = "cut half-way", (*link.Link).CutHalfway
		}
		heal := w.workers[round%2].breakNATS(how, do)
		if err := process.Pass(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		heal()
	}
	return nil
}

// linkBroken breaks one worker's link to NATS while it has tasks that run and gets more of them.
func linkBroken(how string, do func(*link.Link)) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		n := w.tasks / 4
		victim, err := w.workerWith(ctx, n)
		if err != nil {
			return err
		}
		if _, err := w.startWorker(ctx); err != nil {
			return err
		}
		if err := w.ask(ctx, w.mixed(n)...); err != nil {
			return err
		}
		heal := victim.breakNATS(how, do)
		defer heal()
		return process.Pass(ctx, awayLonger)
	}
}

// clusters are nodes of three that die.
func clusters() []scenario {
	return []scenario{
		{name: "cluster-leader", about: "kill -9 of the node that leads a stream, for each stream", nodes: 3, run: leadersKilled},
		{name: "cluster-each", about: "kill -9 and restart of one node after the other", nodes: 3, run: eachNodeKilled},
		{name: "cluster-objects", about: "kill -9 of the node that leads the object store, while large results are stored", nodes: 3, run: objectsLeaderKilled},
		{name: "cluster-all", about: "kill -9 of all three nodes at once", nodes: 3, run: natsKilled(2, time.Second)},
	}
}

func leadersKilled(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for _, stream := range []string{requestStream, recordStream, resultStream} {
		if err := w.ask(ctx, w.mixed(w.tasks/6)...); err != nil {
			return err
		}
		leader, err := w.leaderOf(ctx, stream)
		if err != nil {
			return err
		}
		if err := w.withoutNodes(ctx, 2*time.Second, leader); err != nil {
			return err
		}
	}
	return nil
}

// objectsLeaderKilled kills the leader when results are on their way.
func objectsLeaderKilled(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	const n = 10
	for range 3 {
		leader, err := w.leaderOf(ctx, objectStream)
		if err != nil {
			return err
		}
		if err := w.ask(ctx, times(n, large(time.Second))...); err != nil {
			return err
		}
		if err := w.waitRunning(ctx, n); err != nil {
			return err
		}
		if err := process.Pass(ctx, shortly(w.random)/3); err != nil { // until some are being stored
			return err
		}
		if err := w.withoutNodes(ctx, 2*time.Second, leader); err != nil {
			return err
		}
	}
	return nil
}

func eachNodeKilled(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := w.ask(ctx, w.mixed(w.tasks/6)...); err != nil {
			return err
		}
		if err := w.withoutNodes(ctx, time.Second, n); err != nil {
			return err
		}
	}
	return nil
}
