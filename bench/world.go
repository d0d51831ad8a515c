package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/test/process"
)

// The names that a worker gives to its streams by default.
const (
	requestStream  = "TASKS"
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
	api     *process.Process
	natsURL string
	apiURL  string
	nc      *nats.Conn
	js      jetstream.JetStream
	started []*process.Process
}

// newWorld starts NATS and the stand-in, and has a worker with these settings create the streams. The caller must
// close the world, even after an error.
func (l *lab) newWorld(ctx context.Context, api standin.Config, settings ...string) (*world, error) {
	l.worlds++
	w := &world{lab: l, dir: filepath.Join(l.dir, fmt.Sprintf("world-%d", l.worlds))}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return w, fmt.Errorf("create a folder: %w", err)
	}
	if err := w.startServer(ctx); err != nil {
		return w, err
	}
	if err := w.startAPI(ctx, api); err != nil {
		return w, err
	}
	p, err := w.startWorker(ctx, provisioner, settings...)
	if err != nil {
		return w, err
	}
	err = w.stop(ctx, p)
	return w, err
}

// filledWorld is a new world with n requests on its stream.
func (l *lab) filledWorld(ctx context.Context, n int, api standin.Config, settings ...string) (*world, error) {
	w, err := l.newWorld(ctx, api, settings...)
	if err == nil {
		err = w.publish(ctx, n, func(i int) []byte { return request(fmt.Sprintf("task-%07d", i)) })
	}
	return w, err
}

func (w *world) startServer(ctx context.Context) error {
	port, err := w.ports.Free(ctx)
	if err != nil {
		return err
	}
	env, err := process.ChildEnv(process.NATS, natsserver.Config{Dir: filepath.Join(w.dir, "store"), Port: port})
	if err != nil {
		return err
	}
	if w.server, err = w.keeper.Start(ctx, w.dir, "nats", w.self, env); err != nil {
		return err
	}
	w.natsURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	err = process.Until(ctx, "NATS answers", startTime, func() error {
		w.nc, err = nats.Connect(w.natsURL)
		return errors.Join(err, w.server.Running())
	})
	if err != nil {
		return err
	}
	w.js, err = jetstream.New(w.nc)
	return err
}

func (w *world) startAPI(ctx context.Context, cfg standin.Config) error {
	port, err := w.ports.Free(ctx)
	if err != nil {
		return err
	}
	cfg.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	env, err := process.ChildEnv(standin.Role, cfg)
	if err != nil {
		return err
	}
	if w.api, err = w.keeper.Start(ctx, w.dir, "api", w.self, env); err != nil {
		return err
	}
	w.apiURL = "http://" + cfg.Addr
	return process.Until(ctx, "the stand-in answers", startTime, func() error {
		_, err := w.polls(ctx)
		return err
	})
}

// startWorker starts a worker and waits until it is ready.
func (w *world) startWorker(ctx context.Context, name string, settings ...string) (*process.Process, error) {
	p, err := w.launch(ctx, name, w.worker, settings...)
	if err != nil {
		return p, err
	}
	return p, process.Until(ctx, name+" is ready", startTime, func() error { return p.Ready(ctx) })
}

// launch starts a worker or the floor. The settings take precedence over those of all benchmarks, and the user's over
// both.
func (w *world) launch(ctx context.Context, name, program string, settings ...string) (*process.Process, error) {
	env := append([]string{
		"NATS_URL=" + w.natsURL, "ANCHORBROWSER_BASE_URL=" + w.apiURL, "ANCHORBROWSER_API_KEY=bench", "WORKER_NAME=" + name, "ADMIN_ADDR=127.0.0.1:0",
	}, settings...)
	if program == w.worker && name != provisioner {
		env = append(env, w.set...)
	}
	p, err := w.keeper.Start(ctx, w.dir, name, program, env...)
	if err == nil {
		w.started = append(w.started, p)
	}
	return p, err
}

// stop ends a process as a deploy does.
func (*world) stop(ctx context.Context, p *process.Process) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.Exit(ctx, time.Minute)
}

// polls returns how many status calls the stand-in has answered.
func (w *world) polls(ctx context.Context) (n int, err error) {
	err = w.askAPI(ctx, standin.PollsPath, &n)
	return n, err
}

// times returns what the stand-in noted of each task.
func (w *world) times(ctx context.Context) (all map[string]standin.Times, err error) {
	err = w.askAPI(ctx, standin.TimesPath, &all)
	return all, err
}

func (w *world) askAPI(ctx context.Context, path string, into any) error {
	answer, err := process.Call(ctx, http.MethodGet, w.apiURL+path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// close kills all processes and deletes the streams.
func (w *world) close() {
	if w.nc != nil {
		w.nc.Close()
	}
	for _, p := range append(w.started, w.api, w.server) {
		if p != nil {
			_ = p.Kill()
		}
	}
	_ = os.RemoveAll(filepath.Join(w.dir, "store"))
}

// request returns a task request of 300 bytes.
func request(id string) []byte {
	const size, end = 300, `"}`
	begin := fmt.Sprintf(`{"task_id":%q,"url":"https://example.com/","prompt":"%s `, id, id)
	return []byte(begin + strings.Repeat("x", max(0, size-len(begin)-len(end))) + end)
}

// publish publishes n requests and returns when all are stored.
func (w *world) publish(ctx context.Context, n int, request func(i int) []byte) error {
	const window = 2000
	js, err := jetstream.New(w.nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return err
	}
	var pending []jetstream.PubAckFuture
	for i := range n {
		ack, err := js.PublishAsync(requestSubject, request(i), jetstream.WithStallWait(time.Minute))
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if pending = append(pending, ack); len(pending) < window && i < n-1 {
			continue
		}
		for _, ack := range pending {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				return fmt.Errorf("publish: %w", err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		pending = pending[:0]
	}
	return nil
}

// finish waits until n events are stored and no request is left.
func (w *world) finish(ctx context.Context, p *process.Process, n int) error {
	return process.Until(ctx, fmt.Sprintf("%d tasks have finished", n), 5*time.Minute, func() error {
		requests, err := w.messages(ctx, requestStream)
		if err != nil {
			return err
		}
		events, err := w.messages(ctx, resultStream)
		if err == nil && (requests > 0 || events != n) {
			err = fmt.Errorf("%d requests are left, and there are %d events", requests, events)
		}
		return errors.Join(err, p.Running())
	})
}

// messages returns how many messages a stream holds.
func (w *world) messages(ctx context.Context, stream string) (int, error) {
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", stream, err)
	}
	return int(min(s.CachedInfo().State.Msgs, math.MaxInt32)), nil
}
