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

// DRAIN_TIMEOUT and ANCHORBROWSER_REQUEST_TIMEOUT of the workers.
const (
	drainTimeout = 10 * time.Second
	callTimeout  = 2 * time.Second
)

// worker is the process of a worker, and its links.
type worker struct {
	*process.Process
	w      *world
	nats   []*link.Link // one for each node
	api    *link.Link
	pod    *process.Pod // nil: its memory has no limit
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

// launchWorker starts a worker with a new name.
func (w *world) launchWorker(ctx context.Context, settings ...string) (*worker, error) {
	p := &worker{w: w}
	if len(w.workers) > 0 {
		p.before = w.workers[0].before
	}
	w.workers = append(w.workers, p)
	binary, name := w.version(len(w.workers))
	if skew := w.skewOf(len(w.workers)); skew != 0 {
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
	p.Process, err = w.keeper.Start(ctx, p.pod, w.dir, name, binary, append(p.env(name), settings...)...)
	return p, err
}

// version returns the binary and the name of the worker with that number. If there is an older version, every second
// worker has it. The seed decides which comes first.
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
	p.api, err = link.TCP(ctx, p.w.api.Addr)
	return err
}

// env is a worker's environment, with shorter times than in production. It logs everything, because the logs are
// searched for secrets.
func (p *worker) env(name string) []string {
	var servers []string
	for _, l := range p.nats {
		servers = append(servers, l.Addr())
	}
	env := []string{
		"WORKER_NAME=" + name, "NATS_URL=" + addrs(servers), fmt.Sprintf("NATS_REPLICAS=%d", len(p.nats)),
		"ANCHORBROWSER_API_KEY=" + p.w.api.key, "ANCHORBROWSER_BASE_URL=http://" + p.api.Addr(),
		"ANCHORBROWSER_REQUEST_TIMEOUT=" + callTimeout.String(), "ACK_WAIT=" + ackWait.String(), "DRAIN_TIMEOUT=" + drainTimeout.String(),
		"POLL_INTERVAL=100ms", "POLL_MAX_INTERVAL=500ms", "ADMIN_ADDR=127.0.0.1:0",
		"LOG_LEVEL=trace",
		"GORACE=exitcode=0", // the log is searched for data races, and one of them is known
	}
	if p.w.sessions {
		env = append(env, "SESSIONS=on")
	}
	return env
}

// usage is how much of the machine a worker uses.
type usage struct {
	goroutines int
	heap       int // reachable bytes
}

// usage collects the garbage of the worker and measures.
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
	p.w.faults.note(fault{worker: p.Name, what: "kill -9 of", doubt: true, over: true, stopped: true, resends: true}) // never over
	return p.Process.Kill()
}

// listens reports whether the worker has started far enough to drain.
func (p *worker) listens() bool {
	_, err := p.AdminAddr()
	return err == nil
}

// terminate is SIGTERM, as soon as the worker has started far enough to drain.
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

// exit waits until a worker exits that got SIGTERM at a moment. An exit code other than 0 needs a fault as an excuse.
func (p *worker) exit(ctx context.Context, signaled time.Time, within time.Duration) error {
	err := p.Exit(ctx, within)
	if err != nil && ctx.Err() == nil && p.w.faults.excuse(p.Name, signaled, err) {
		return nil
	}
	return err
}

// drain stops the worker as a deploy does, and waits until it exits.
func (p *worker) drain(ctx context.Context) error {
	signaled := time.Now()
	end := p.w.faults.note(fault{worker: p.Name, what: "SIGTERM of", over: true})
	defer end()
	if err := p.terminate(ctx); err != nil {
		return err
	}
	return p.exit(ctx, signaled, drainTimeout+5*time.Second)
}

// stall is SIGSTOP. The returned function, or the end of the scenario, sends SIGCONT.
func (p *worker) stall() (resume func() error, err error) {
	end := p.w.faults.note(fault{worker: p.Name, what: "SIGSTOP of", doubt: true, over: true, outage: true, stopped: true, resends: true})
	return func() error {
		defer end()
		return p.Signal(syscall.SIGCONT)
	}, p.Signal(syscall.SIGSTOP)
}

// breakNATS breaks the worker's links to NATS, until heal is called.
func (p *worker) breakNATS(what string, do func(*link.Link)) (heal func()) {
	return p.breakLinks(fault{what: "link to NATS " + what + ":", outage: true, resends: true}, p.nats, do)
}

// breakAPI breaks the worker's link to the API, until heal is called.
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

// close kills the worker and closes its links.
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
