package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/test/chaos/link"
)

// Settings of the workers: DRAIN_TIMEOUT, and ANCHORBROWSER_REQUEST_TIMEOUT.
const (
	drainTimeout = 10 * time.Second
	callTimeout  = 2 * time.Second
)

// worker is a worker's process and its links.
type worker struct {
	*process.Process
	w      *world
	nats   []*link.Link // one to each node
	api    *link.Link
	pod    *process.Pod // nil: its memory is not limited
	before usage        // when it was ready
}

// startWorker starts a worker and waits until it is ready.
func (w *world) startWorker(ctx context.Context, settings ...string) (*worker, error) {
	p, err := w.launchWorker(ctx, settings...)
	if err != nil {
		return p, err
	}
	if err := process.Until(ctx, p.Name+" is ready", time.Minute, func() error { return p.Ready(ctx) }); err != nil {
		return p, err
	}
	p.before, err = p.usage(ctx)
	return p, err
}

// launchWorker starts a worker with a name of its own, which no other has had.
func (w *world) launchWorker(ctx context.Context, settings ...string) (*worker, error) {
	p := &worker{w: w}
	if len(w.workers) > 0 {
		p.before = w.workers[0].before
	}
	w.workers = append(w.workers, p)
	binary, name := w.version(len(w.workers))
	if skew := w.skew(len(w.workers)); skew != 0 {
		settings = append(settings, skewed(skew))
	}
	if slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, process.SkewVariable) }) {
		binary = w.skewed
	}
	if err := p.openLinks(ctx, name); err != nil {
		return p, err
	}
	if w.memory > 0 {
		p.pod = process.NewPod(w.memory)
		w.pods = append(w.pods, p.pod)
	}
	var err error
	p.Process, err = w.keeper.StartIn(ctx, p.pod, w.dir, name, binary, append(p.env(name), settings...)...)
	return p, err
}

// version returns the binary and the name of the worker with that number: every second one is an older version where
// there is one. The seed says which comes first.
func (w *world) version(number int) (binary, name string) {
	if w.older != "" && (uint64(number)+w.seed)%2 == 0 {
		return w.older, fmt.Sprintf("w%d-older", number)
	}
	return w.worker, fmt.Sprintf("w%d", number)
}

// startWorkers starts several.
func (w *world) startWorkers(ctx context.Context, n int) error {
	for range n {
		if _, err := w.startWorker(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *worker) openLinks(ctx context.Context, name string) (err error) {
	for _, n := range p.w.nodes {
		l, err := link.NATS(ctx, n.addr(), p.w.journal.watch(name))
		if err != nil {
			return err
		}
		p.nats = append(p.nats, l)
	}
	p.api, err = link.TCP(ctx, p.w.api.addr)
	return err
}

// env is a worker's environment: quick where production is patient, and with all that can be logged, since the
// logs are searched.
func (p *worker) env(name string) []string {
	var servers []string
	for _, l := range p.nats {
		servers = append(servers, l.Addr())
	}
	return []string{
		"WORKER_NAME=" + name, "NATS_URL=" + addrs(servers), fmt.Sprintf("NATS_REPLICAS=%d", len(p.nats)),
		"ANCHORBROWSER_API_KEY=" + p.w.api.key, "ANCHORBROWSER_BASE_URL=http://" + p.api.Addr(),
		"ANCHORBROWSER_REQUEST_TIMEOUT=" + callTimeout.String(), "ACK_WAIT=" + ackWait.String(), "DRAIN_TIMEOUT=" + drainTimeout.String(),
		"POLL_INTERVAL=100ms", "POLL_MAX_INTERVAL=500ms", "ADMIN_ADDR=127.0.0.1:0",
		"LOG_LEVEL=trace",
	}
}

// usage is what a worker takes of its machine.
type usage struct {
	goroutines int
	heap       int // bytes that are reachable, or were a moment ago
}

// usage collects the worker's garbage and measures.
func (p *worker) usage(ctx context.Context) (u usage, err error) {
	if _, err = p.Admin(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return u, err
	}
	goroutines, err := p.Metric(ctx, "go_goroutines")
	if err != nil {
		return u, err
	}
	heap, err := p.Metric(ctx, "go_memstats_heap_alloc_bytes")
	return usage{goroutines: int(goroutines), heap: int(heap)}, err
}

// Kill is kill -9.
func (p *worker) Kill() error {
	p.w.faults.note(fault{worker: p.Name, what: "kill -9 of", doubt: true, over: true, stopped: true, resends: true}) // it has no end
	return p.Process.Kill()
}

// listens reports whether the worker has come so far that it takes SIGTERM for a drain.
func (p *worker) listens() bool {
	_, err := p.AdminAddr()
	return err == nil
}

// terminate is SIGTERM, as soon as the worker has come so far that it takes that for a drain.
func (p *worker) terminate(ctx context.Context) error {
	err := process.Until(ctx, p.Name+" listens", time.Minute, func() error {
		_, err := p.AdminAddr()
		return err
	})
	if err != nil {
		return err
	}
	return p.Signal(syscall.SIGTERM)
}

// exit waits until a worker that was told to stop at a moment has ended: with 0, unless something else excuses it.
func (p *worker) exit(ctx context.Context, told time.Time, within time.Duration) error {
	err := p.Exit(ctx, within)
	if err != nil && ctx.Err() == nil && p.w.faults.excuse(p.Name, told, err) {
		return nil
	}
	return err
}

// drain is what a deploy does: SIGTERM, and the worker ends.
func (p *worker) drain(ctx context.Context) error {
	told := time.Now()
	end := p.w.faults.note(fault{worker: p.Name, what: "SIGTERM of", over: true})
	defer end()
	if err := p.terminate(ctx); err != nil {
		return err
	}
	return p.exit(ctx, told, drainTimeout+5*time.Second)
}

// stall is SIGSTOP. SIGCONT comes with the returned function, or at the end of the world.
func (p *worker) stall() (resume func() error, err error) {
	end := p.w.faults.note(fault{worker: p.Name, what: "SIGSTOP of", doubt: true, over: true, away: true, stopped: true, resends: true})
	return func() error {
		defer end()
		return p.Signal(syscall.SIGCONT)
	}, p.Signal(syscall.SIGSTOP)
}

// breakNATS does something to the worker's links to NATS, until heal is called.
func (p *worker) breakNATS(what string, do func(*link.Link)) (heal func()) {
	return p.breakLinks(fault{what: "link to NATS " + what + ":", away: true, resends: true}, p.nats, do)
}

// breakAPI does something to the worker's link to the API, until heal is called.
func (p *worker) breakAPI(what string, do func(*link.Link)) (heal func()) {
	return p.breakLinks(fault{what: "link to the API " + what + ":"}, []*link.Link{p.api}, do)
}

func (p *worker) breakLinks(kind fault, links []*link.Link, do func(*link.Link)) (heal func()) {
	kind.worker, kind.doubt = p.Name, true
	end := p.w.faults.note(kind)
	for _, l := range links {
		do(l)
	}
	return func() {
		for _, l := range links {
			l.Heal()
		}
		end()
	}
}

// close kills what is left and closes the links.
func (p *worker) close() {
	if p.Process != nil {
		_ = p.Process.Kill()
	}
	for _, l := range p.nats {
		l.Close()
	}
	if p.api != nil {
		p.api.Close()
	}
}
