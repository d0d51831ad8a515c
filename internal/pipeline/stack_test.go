package pipeline_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// A worker holds tens of thousands of tasks that wait. Go keeps a stack at 4 KiB only if less than 1,248 bytes of it are
// used, and at 8 KiB if less than 3,296 are: one record passed by value on the way to the wait would double the stacks.
func TestAWaitingTaskHasASmallStack(t *testing.T) {
	if natstest.RaceDetector {
		t.Skip("the race detector enlarges the frames")
	}
	perHour := rate.Every(time.Hour)
	t.Run("to be submitted", func(t *testing.T) { wantSmallStacks(t, "submit", 10<<10, perHour, time.Hour, rate.Inf) })
	t.Run("between two polls", func(t *testing.T) { wantSmallStacks(t, "poll", 6<<10, rate.Inf, time.Hour, rate.Inf) })
	t.Run("in line for a poll", func(t *testing.T) { wantSmallStacks(t, "poll", 6<<10, rate.Inf, time.Millisecond, perHour) })
}

// wantSmallStacks checks that tasks which wait in a step have stacks of at most so many bytes. They are submitted at a rate,
// and their polls are due after interval, at another rate.
func wantSmallStacks(t *testing.T, step string, most uint64, submissions rate.Limit, interval time.Duration, polls rate.Limit) {
	t.Helper()
	const tasks = 2000
	w := newWorld(t)
	c, p := w.consumer(tasks, submissions, interval, polls)
	for i := range tasks {
		if _, err := w.js.PublishAsync("tasks.request", fmt.Appendf(nil, `{"task_id":"t%d","prompt":"a","url":"https://example.com"}`, i), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-w.js.PublishAsyncComplete()
	before := stacks()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { c.Run(ctx); close(stopped) }()
	natstest.Eventually(t, func() error {
		waiting := 0
		for i := range tasks {
			if now, _ := p.Progress(fmt.Sprint("t", i)); now.Step == step {
				waiting++
			}
		}
		if waiting < tasks-1 { // the rate lets the first one leave
			return fmt.Errorf("got %d of %d tasks that wait", waiting, tasks)
		}
		return nil
	})
	got := uint64(0)
	natstest.Eventually(t, func() error { // the last tasks may be on their way to the wait
		if got = (stacks() - before) / tasks; got > most {
			return fmt.Errorf("got stacks of %d bytes a task, want at most %d", got, most)
		}
		return nil
	})
	t.Logf("stacks of %d bytes a task", got)
	stop()
	<-stopped
}

// stacks returns the bytes of all stacks after they have shrunk.
func stacks() uint64 {
	for range 4 {
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// acceptingAPI accepts each task. Their workflows run.
type acceptingAPI struct{ submitted atomic.Int32 }

func (a *acceptingAPI) Submit(context.Context, string, []byte) (string, error) {
	return fmt.Sprint("wf", a.submitted.Add(1)), nil
}

func (*acceptingAPI) Status(context.Context, string, int64) (task.Workflow, error) {
	return task.Workflow{Status: "RUNNING"}, nil
}

func (*acceptingAPI) Timeout() time.Duration { return time.Second }

// consumer returns a worker's consumer and its pipeline, which submits and polls at these rates. The API accepts everything.
func (w *world) consumer(maxInFlight int, submissions rate.Limit, interval time.Duration, polls rate.Limit) (*consumer.Consumer, *pipeline.Pipeline) {
	w.t.Helper()
	api := &acceptingAPI{}
	const ackWait = 10 * time.Minute
	source, err := w.js.CreateConsumer(w.t.Context(), "TASKS", jetstream.ConsumerConfig{
		Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: maxInFlight,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	nc, _ := w.server.Connect()
	reg, log := prometheus.NewRegistry(), zerolog.Nop()
	batcher := natstest.Batcher(w.t, nc)
	requests := consumer.NewRequests(w.stream("TASKS"), reg, log)
	plenty := func() *memory.Budget { return memory.NewBudget(1 << 40) }
	cfg := w.config("w1")
	cfg.Defaults.Timeout = 24 * time.Hour
	p := pipeline.New(cfg, pipeline.Parts{
		Requests: requests, API: api,
		Admission: admission.New(admission.Config{Concurrency: 16}, rate.NewLimiter(submissions, 1), reg, log),
		Tracker:   tracker.New(batcher, w.stream(w.tracker.Stream()), "", w.tracker, nil, reg, log),
		Poller: poller.New(poller.Config{Interval: interval, MaxInterval: interval}, api,
			poller.Budgets{Polls: plenty(), Answers: plenty()}, rate.NewLimiter(polls, 1), reg, log),
	}, reg, log)
	return consumer.New(consumer.Config{Consumer: "worker", MaxInFlight: maxInFlight, AckWait: ackWait}, consumer.Parts{
		Conn: nc, Batcher: batcher, Source: source, Stream: requests, Handler: p, Memory: plenty(),
		Pulled: func(context.Context, error) {},
	}, reg, log), p
}
