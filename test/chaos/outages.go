package main

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/process"
)

// stops returns the scenarios in which workers are stopped as a deploy does, with tasks in all stages.
func stops() []scenario {
	return []scenario{
		{name: "drain", about: "SIGTERM of one of two workers, several times, with tasks in all stages", short: true, run: drainAgain},
		{name: "drain-in-answer", about: "SIGTERM in the middle of POSTs: their answers are recorded first", short: true, run: drainInAnswer},
		{name: "drain-cut", about: "SIGTERM while the link to NATS is down: it exits, and its tasks move on after ACK_WAIT", run: drainCut},
	}
}

func drainAgain(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for range 3 {
		check(w.ask(ctx, w.mixed(w.tasks/6)...))
		oldest := w.living()[0]
		must(w.startWorker(ctx))
		check(oldest.drain(ctx))
	}
}

func drainInAnswer(ctx context.Context, w *world) {
	victim := momentNamed("in-answer").bring(ctx, w)
	w.certain()
	check(victim.drain(ctx))
	must(w.startWorker(ctx))
}

// workerWith starts a worker and gives it n tasks that outlast a takeover.
func (w *world) workerWith(ctx context.Context, n int) *worker {
	p := must(w.startWorker(ctx))
	check(w.ask(ctx, times(n, plain(takeoverTime))...))
	check(w.waitRunning(ctx, n))
	return p
}

func drainCut(ctx context.Context, w *world) {
	victim := w.workerWith(ctx, w.tasks/4)
	w.certain()
	must(w.startWorker(ctx))
	heal := victim.breakNATS("down", (*link.Link).Down)
	defer heal()
	began := time.Now()
	check(victim.drain(ctx))
	w.measure("exit", time.Since(began), drainTimeout+time.Second)
}

// outages returns the scenarios in which NATS, or a link to it, fails.
func outages() []scenario {
	return []scenario{
		{name: "nats-kill", about: "kill -9 and restart of NATS under load, three times", short: true, run: natsKilled(3, 300*time.Millisecond)},
		{name: "nats-kill-long", about: "kill -9 of NATS, down for longer than ACK_WAIT", short: true, run: natsKilled(1, takeoverTime)},
		{name: "nats-link-cut", about: "links to NATS cut, also in the middle of a message, under load", short: true, run: linksCut},
		{name: "nats-link-down", about: "one worker's link to NATS down for longer than ACK_WAIT", run: linkBroken("down", (*link.Link).Down)},
		{name: "nats-link-stalled", about: "one worker's link to NATS silent for longer than ACK_WAIT", run: linkBroken("stalled", (*link.Link).Stall)},
		{name: "nats-link-slow", about: "one worker's link to NATS slow", run: linkBroken("slow", slow(20*time.Millisecond))},
	}
}

func slow(d time.Duration) func(*link.Link) { return func(l *link.Link) { l.Slow(d) } }

func natsKilled(rounds int, downtime time.Duration) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		check(w.startWorkers(ctx, 2))
		for range rounds {
			check(w.ask(ctx, w.mixed(w.tasks/2/rounds)...))
			check(w.withoutNodes(ctx, downtime, w.nodes...))
			check(w.natsReady(ctx))
		}
	}
}

func linksCut(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for round := range 6 {
		check(w.ask(ctx, w.mixed(w.tasks/12)...))
		how, do := "cut", (*link.Link).Cut
		if round%2 == 1 {
			how, do = "cut half-way", (*link.Link).CutHalfway
		}
		heal := w.workers[round%2].breakNATS(how, do)
		check(process.Pass(ctx, 500*time.Millisecond))
		heal()
	}
}

// linkBroken breaks one worker's link to NATS while its tasks run and new ones arrive.
func linkBroken(how string, do func(*link.Link)) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		victim := w.workerWith(ctx, w.tasks/4)
		must(w.startWorker(ctx))
		check(w.ask(ctx, w.mixed(w.tasks/4)...))
		heal := victim.breakNATS(how, do)
		defer heal()
		check(process.Pass(ctx, takeoverTime))
	}
}

// clusters returns the scenarios in which nodes of three die.
func clusters() []scenario {
	return []scenario{
		{name: "cluster-leader", about: "kill -9 of the node that leads a stream, for each stream", nodes: 3, run: leadersKilled},
		{name: "cluster-each", about: "kill -9 and restart of one node after the other", nodes: 3, run: eachNodeKilled},
		{name: "cluster-objects", about: "kill -9 of the node that leads the object store, while large results are stored", nodes: 3, run: objectsLeaderKilled},
		{name: "cluster-all", about: "kill -9 of all three nodes at once", nodes: 3, run: natsKilled(2, time.Second)},
	}
}

func leadersKilled(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for _, stream := range []string{requestStream, recordStream, resultStream} {
		check(w.ask(ctx, w.mixed(w.tasks/6)...))
		check(w.withoutNodes(ctx, 2*time.Second, must(w.leaderOf(ctx, stream))))
	}
}

func eachNodeKilled(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for _, n := range w.nodes {
		check(w.ask(ctx, w.mixed(w.tasks/6)...))
		check(w.withoutNodes(ctx, time.Second, n))
	}
}

func objectsLeaderKilled(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	const n = 10
	for range 3 {
		leader := must(w.leaderOf(ctx, objectStream))
		check(w.ask(ctx, times(n, large(time.Second))...))
		check(w.waitRunning(ctx, n))
		check(process.Pass(ctx, shortly(w.random)/3)) // until some are being stored
		check(w.withoutNodes(ctx, 2*time.Second, leader))
	}
}
