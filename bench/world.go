package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/test/process"
)

// The names that a worker uses by default.
const (
	requestSubject = "tasks.request"
	resultStream   = "TASK_RESULTS"
)

// provisioner is the name of the worker that creates the streams, and does nothing else.
const provisioner = "provisioner"

// startTime is how long a process may take to start on a busy machine.
const startTime = time.Minute

// world is a NATS server with empty streams, the stand-in for the API, and the programs that use them.
type world struct {
	*lab
	dir     string
	server  *process.Process
	api     *process.StandIn
	natsURL string
	nc      *nats.Conn
	js      jetstream.JetStream
	started []*process.Process // all of them
}

// newWorld starts NATS and the stand-in, and has a worker with these settings create the streams. The caller must
// close the world.
func (l *lab) newWorld(ctx context.Context, settings ...string) *world {
	return l.newWorldWith(ctx, plan{}, settings...)
}

// newWorldWith is newWorld with an account that has a plan.
func (l *lab) newWorldWith(ctx context.Context, p plan, settings ...string) *world {
	l.worlds++
	w := &world{lab: l, dir: filepath.Join(l.dir, fmt.Sprintf("world-%d", l.worlds))}
	process.Check(os.MkdirAll(w.dir, 0o700))
	w.startServer(ctx)
	// The stand-in collects garbage less often than usual, to leave more time to the others.
	addr := fmt.Sprintf("127.0.0.1:%d", process.Must(l.ports.Free(ctx)))
	w.api = process.Must(l.keeper.StartStandIn(ctx, w.dir, addr, p, "GOGC=400"))
	w.started = append(w.started, w.api.Process)
	w.stop(ctx, w.startWorker(ctx, provisioner, settings...))
	return w
}

func (w *world) startServer(ctx context.Context) {
	port := process.Must(w.ports.Free(ctx))
	w.server = process.Must(w.keeper.StartChild(ctx, w.dir, "nats", process.NATS, natsserver.Config{Dir: filepath.Join(w.dir, "store"), Port: port}))
	w.started = append(w.started, w.server)
	w.natsURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	process.Check(process.Until(ctx, "NATS answers", startTime, func() (err error) {
		w.nc, err = nats.Connect(w.natsURL)
		return errors.Join(err, w.server.Running())
	}))
	w.js = process.Must(jetstream.New(w.nc))
}

// startWorker starts a worker and waits until it is ready.
func (w *world) startWorker(ctx context.Context, name string, settings ...string) *process.Process {
	p := w.launch(ctx, name, w.worker, settings...)
	process.Check(process.Until(ctx, name+" is ready", startTime, func() error { return p.Ready(ctx) }))
	return p
}

// launch starts a worker or the floor. The settings take precedence over those of all benchmarks, and the user's over
// both.
func (w *world) launch(ctx context.Context, name, program string, settings ...string) *process.Process {
	env := append([]string{
		"NATS_URL=" + w.natsURL, "ANCHORBROWSER_BASE_URL=http://" + w.api.Addr, "ANCHORBROWSER_API_KEY=" + apiKey,
		"WORKER_NAME=" + name, "ADMIN_ADDR=127.0.0.1:0",
	}, settings...)
	if program == w.worker && name != provisioner {
		env = append(env, w.set...)
	}
	p := process.Must(w.keeper.Start(ctx, nil, w.dir, name, program, env...))
	w.started = append(w.started, p)
	return p
}

// stop ends a process as a deploy does.
func (*world) stop(ctx context.Context, p *process.Process) {
	process.Check(p.Signal(syscall.SIGTERM))
	process.Check(p.Exit(ctx, time.Minute))
}

// close kills all processes and deletes the streams.
func (w *world) close() {
	w.nc.Close()
	for _, p := range w.started {
		_ = p.Kill()
	}
	_ = os.RemoveAll(filepath.Join(w.dir, "store"))
}

func taskID(number int) string { return fmt.Sprintf("task-%07d", number) }

// request returns a task request of 300 bytes. Its workflow runs as planned; without a plan it ends at once.
func request(id, agent string, plan *anchortest.Plan) []byte {
	const size = 300
	r := struct {
		ID     string `json:"task_id"` // the floor wants it first
		URL    string `json:"url"`
		Agent  string `json:"agent,omitempty"`
		Prompt string `json:"prompt"`
	}{id, "https://example.com/", agent, id}
	if plan != nil {
		r.Prompt = process.Must(anchortest.Prompt(id, *plan))
	}
	r.Prompt += " "
	r.Prompt += strings.Repeat("x", max(0, size-len(process.Must(json.Marshal(r)))))
	return process.Must(json.Marshal(r))
}

// publish publishes n requests and returns when all are stored.
func (w *world) publish(ctx context.Context, n int, request func(i int) []byte) {
	acks := make([]jetstream.PubAckFuture, n)
	for i := range acks {
		acks[i] = process.Must(w.js.PublishAsync(requestSubject, request(i), jetstream.WithStallWait(time.Minute)))
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			process.Check(fmt.Errorf("publish: %w", err))
		case <-ctx.Done():
			process.Check(ctx.Err())
		}
	}
}

// reach waits until n events are stored at least, and returns how many there are.
func (w *world) reach(ctx context.Context, p *process.Process, n int) (events int) {
	process.Check(process.Until(ctx, fmt.Sprintf("%d tasks have finished", n), 5*time.Minute, func() error {
		s, err := w.js.Stream(ctx, resultStream)
		if err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
		if events = int(s.CachedInfo().State.Msgs); events < n {
			err = fmt.Errorf("there are %d events", events)
		}
		return errors.Join(err, p.Running())
	}))
	return events
}
