package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/test/process"
)

// The streams' names, as a worker makes them by default.
const (
	requestStream  = "TASKS"
	requestSubject = "tasks.request"
	resultStream   = "TASK_RESULTS"
	recordStream   = "KV_task_tracker"
	consumerName   = "worker"
)

// makerName is the worker that makes the streams, and does nothing else.
const makerName = "maker"

// startPatience is how long a process may take to come up on a busy machine.
const startPatience = time.Minute

// world is a NATS server with empty streams, the API's stand-in, and what runs on them.
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

// newWorld starts NATS and the stand-in, and lets a worker make the streams with these settings. close ends
// it, whether or not there was an error.
func (l *lab) newWorld(ctx context.Context, api standin.Config, settings ...string) (*world, error) {
	l.worlds++
	w := &world{lab: l, dir: filepath.Join(l.dir, fmt.Sprintf("world-%d", l.worlds))}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return w, fmt.Errorf("make a world: %w", err)
	}
	if err := w.startServer(ctx); err != nil {
		return w, err
	}
	if err := w.startAPI(ctx, api); err != nil {
		return w, err
	}
	p, err := w.startWorker(ctx, makerName, settings...)
	if err != nil {
		return w, err
	}
	err = w.stop(ctx, p)
	return w, err
}

func (w *world) startServer(ctx context.Context) error {
	port, err := w.ports.Free(ctx)
	if err != nil {
		return err
	}
	env, err := child{Role: "nats", NATS: natsserver.Config{Dir: filepath.Join(w.dir, "store"), Port: port}}.env()
	if err != nil {
		return err
	}
	if w.server, err = w.keeper.Start(ctx, w.dir, "nats", w.self, env); err != nil {
		return err
	}
	w.natsURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	err = process.Until(ctx, "NATS answers", startPatience, func() error {
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
	env, err := child{Role: "api", API: cfg}.env()
	if err != nil {
		return err
	}
	if w.api, err = w.keeper.Start(ctx, w.dir, "api", w.self, env); err != nil {
		return err
	}
	w.apiURL = "http://" + cfg.Addr
	return process.Until(ctx, "the stand-in answers", startPatience, func() error {
		_, err := w.counts(ctx)
		return err
	})
}

// startWorker starts a worker and waits until it is ready.
func (w *world) startWorker(ctx context.Context, name string, settings ...string) (*process.Process, error) {
	p, err := w.launch(ctx, name, w.worker, settings...)
	if err != nil {
		return p, err
	}
	return p, process.Until(ctx, name+" is ready", startPatience, func() error {
		if err := p.Running(); err != nil {
			return err
		}
		_, err := ask(ctx, p, "/readyz")
		return err
	})
}

// launch starts a worker or the floor. Settings that are given go before those of all benchmarks.
func (w *world) launch(ctx context.Context, name, program string, settings ...string) (*process.Process, error) {
	env := append([]string{
		"NATS_URL=" + w.natsURL, "ANCHORBROWSER_BASE_URL=" + w.apiURL, "ANCHORBROWSER_API_KEY=bench." + name,
		"WORKER_NAME=" + name, "ADMIN_ADDR=127.0.0.1:0",
	}, settings...)
	if program == w.worker && name != makerName {
		env = append(env, w.set...)
	}
	p, err := w.keeper.Start(ctx, w.dir, name, program, env...)
	if err == nil {
		w.started = append(w.started, p)
	}
	return p, err
}

// stop lets a process end as a deploy does.
func (*world) stop(ctx context.Context, p *process.Process) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.Exit(ctx, time.Minute)
}

// ask asks a worker what operators ask.
func ask(ctx context.Context, p *process.Process, path string) ([]byte, error) {
	addr, err := p.AdminAddr()
	if err != nil {
		return nil, err
	}
	return process.Call(ctx, http.MethodGet, "http://"+addr+path, nil)
}

// counts are how often the stand-in was asked.
func (w *world) counts(ctx context.Context) (c standin.Counts, err error) {
	err = w.askAPI(ctx, "/_bench/count", &c)
	return c, err
}

func (w *world) askAPI(ctx context.Context, path string, into any) error {
	answer, err := process.Call(ctx, http.MethodGet, w.apiURL+path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// close kills everything and forgets what was stored.
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
