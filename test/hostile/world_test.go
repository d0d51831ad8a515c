package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// messagesVariable in the environment enables all tests. Its value is the number of messages in the mixture.
	messagesVariable = "CAPSTAN_HOSTILE_MESSAGES"

	podMemory  = 500 << 20 // the limit of the manifests
	mostMemory = 450 << 20 // that a worker may use
	drainTime  = 45 * time.Second
)

// binaries is what all tests share.
type binaries struct {
	dir    string
	worker string
	keeper *process.Keeper
}

func TestMain(m *testing.M) {
	isChild, err := process.RunChild(context.Background(), nil)
	switch {
	case err != nil:
		os.Exit(1)
	case !isChild:
		os.Exit(m.Run())
	}
}

// workerPackage is what is attacked, without the race detector whatever GOFLAGS says: with it, a worker needs more memory
// than a pod has.
const (
	workerPackage = "github.com/capstan-worker/capstan/cmd/worker"
	noRace        = "-race=false"
)

// build builds the worker. Go's build cache makes that quick from the second test on.
func build(t *testing.T) binaries {
	t.Helper()
	b := binaries{dir: t.TempDir()}
	b.worker = filepath.Join(b.dir, "worker")
	if err := process.Build(t.Context(), workerPackage, b.worker, noRace); err != nil {
		t.Fatal(err)
	}
	b.keep(t)
	return b
}

// keep starts the keeper.
func (b *binaries) keep(t *testing.T) {
	t.Helper()
	var err error
	if b.keeper, err = process.NewKeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.keeper.Close)
}

// world is a NATS server, the stand-in for the API, and a worker with the memory of a pod.
type world struct {
	binaries
	t      *testing.T
	logs   string // folder of the workers' logs
	nats   *natstest.Server
	api    *anchortest.Server
	js     jetstream.JetStream
	events *events
	pod    *process.Pod
	worker *process.Process
	count  int // workers so far

	older int // the number of events before the first request

	mu     sync.Mutex
	plans  map[string]anchortest.Plan // by the first word of the prompt; guarded by mu
	asked  int                        // requests so far; guarded by mu
	rounds int                        // of neighbors; guarded by mu
}

// newWorld starts everything but the worker.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, build(t))
}

func newWorldWith(t *testing.T, b binaries) *world {
	t.Helper()
	w := &world{binaries: b, t: t, logs: t.TempDir(), nats: natstest.Start(t), plans: map[string]anchortest.Plan{}}
	w.api = anchortest.New(anchortest.WithPlan(w.plan), anchortest.WithTaskName(anchortest.FirstWord))
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	var nc *nats.Conn
	nc, w.js = w.nats.Connect()
	w.events = subscribe(t, nc)
	return w
}

// plan returns the plan that the prompt names.
func (w *world) plan(t anchortest.Task) anchortest.Plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plans[anchortest.FirstWord(t)]
}

// setPlan gives the API a plan for the tasks whose prompt begins with a name.
func (w *world) setPlan(name string, p anchortest.Plan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans[name] = p
}

// start starts a worker in a pod and waits until it is ready.
func (w *world) start(settings ...string) {
	w.t.Helper()
	w.launch(settings...)
	natstest.Eventually(w.t, func() error { return w.worker.Ready(w.t.Context()) })
}

// launch starts a worker in a pod.
func (w *world) launch(settings ...string) {
	w.t.Helper()
	w.count++
	name := fmt.Sprintf("w%d", w.count)
	w.pod = process.NewPod(podMemory)
	env := append([]string{
		"WORKER_NAME=" + name, "NATS_URL=" + w.nats.URL(), "ANCHORBROWSER_API_KEY=" + w.api.Key(),
		"ANCHORBROWSER_BASE_URL=" + w.api.URL(), "POLL_INTERVAL=200ms", "POLL_MAX_INTERVAL=1s", "ACK_WAIT=10s",
		"ADMIN_ADDR=127.0.0.1:0", "GOMEMLIMIT=450MiB",
	}, settings...)
	p, err := w.keeper.Start(w.t.Context(), w.pod, w.logs, name, w.binaries.worker, env...)
	if err != nil {
		w.t.Fatal(err)
	}
	pod := w.pod
	w.worker = p
	w.t.Cleanup(func() {
		_ = p.Kill()
		_ = pod.Close() // an empty control group that remains does no harm
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", name, tail(p.LogFile))
		}
	})
}

// tail returns the end of a file.
func tail(name string) string {
	const most = 4000
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// survived fails the test unless the worker is alive, has stayed within its memory, and still drains as in a deploy.
func (w *world) survived() {
	w.t.Helper()
	if err := w.worker.Running(); err != nil {
		w.t.Error(err)
		return
	}
	if killed, err := w.pod.Killed(); err != nil || killed > 0 {
		w.t.Errorf("the kernel killed %d processes, %v", killed, err)
	}
	peak, err := w.worker.Peak()
	if err != nil {
		w.t.Fatal(err)
	}
	if peak > mostMemory {
		w.t.Errorf("memory: got %d MiB, want at most %d", peak>>20, mostMemory>>20)
	}
	w.t.Logf("peak of memory %d MiB, in a control group: %t", peak>>20, w.pod.Enforced())
	w.drain()
}

// drain stops the worker as a deploy does.
func (w *world) drain() {
	w.t.Helper()
	if err := errors.Join(w.worker.Signal(syscall.SIGTERM), w.worker.Exit(w.t.Context(), drainTime)); err != nil {
		w.t.Error(err)
	}
}

// left returns an error while requests are left on their stream. It fails the test if the worker has died.
func (w *world) left() error {
	if err := w.worker.Running(); err != nil {
		w.t.Fatalf("requests are left, and %v", err)
	}
	s, err := w.js.Stream(w.t.Context(), "TASKS")
	if err != nil {
		return err
	}
	if n := s.CachedInfo().State.Msgs; n > 0 {
		return fmt.Errorf("%d requests are left", n)
	}
	return nil
}

// heavy skips a test that needs much time or memory, unless all tests are enabled.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv(messagesVariable) == "" {
		t.Skip("only make hostile runs this")
	}
}

// logOf returns the log of the worker.
func logOf(t *testing.T, w *world) string {
	t.Helper()
	text, err := os.ReadFile(w.worker.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
