package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// ackWait is ACK_WAIT of the workers, unless a scenario sets another.
const ackWait = 3 * time.Second

// program holds what all worlds share.
type program struct {
	worker string // the path of the worker
	older  string // the path of an older version of the worker; empty: all are of this one
	skewed string // the path of a worker whose clock can be wrong; empty: no scenario needs it
	keeper *process.Keeper
	dir    string // folder of the logs
	race   bool   // the workers have the race detector
	ports  process.Ports
}

// worldConfig describes a world.
type worldConfig struct {
	size   int    // of NATS, in nodes
	sync   bool   // NATS writes to the disk before it acknowledges
	seed   uint64 // of all random choices
	unwell bool   // calls to the API fail at random
	tasks  int    // the size of a scenario, as the user chose it

	sessions bool // the workers have SESSIONS=on

	workers int           // in a storm
	lasts   time.Duration // how long a storm lasts
	clocks  bool          // in a storm, every third worker's clock is wrong
}

// world is a NATS server or cluster, the stand-in for the API, workers with breakable links to both, and the tasks
// that were asked for.
type world struct {
	*program
	worldConfig
	dir          string
	random       *rand.Rand // only one goroutine may use it
	secret       string     // in requests, and nowhere else
	word         string     // in every prompt, and in no log
	nodes        []*node
	api          *standIn
	workers      []*worker
	pods         []*process.Pod
	nc           *nats.Conn // bypasses all links
	js           jetstream.JetStream
	journal      *journal
	watching     sync.WaitGroup
	stopWatching context.CancelFunc
	faults       *faults
	core         *subscriber
	deletions    []deletion
	asked        []asked
	deferred     []deferral // the first is due first
	recall       string     // the task that is canceled after the next request; empty: none
	memory       int64      // limit for each worker that is started from now on, in bytes; 0: none
	slack        usage      // how much more a worker may use after its tasks than before
	notes        []string   // problems that the scenario found, in addition to the verdict's

	measured []string              // what the scenario has measured, with names
	unjudged bool                  // some of it was not judged
	inspect  func([]verdict.Event) // the scenario's own check of the events; nil: it has none
}

// newWorld starts NATS and the stand-in. The caller must close the world, even after an error.
func newWorld(ctx context.Context, p *program, name string, cfg worldConfig) (*world, error) {
	w := &world{
		program: p, worldConfig: cfg, dir: filepath.Join(p.dir, name),
		random: rand.New(rand.NewPCG(cfg.seed, 1)), journal: newJournal(),
		secret: fmt.Sprintf("hunter2-%016x", rand.Uint64()), word: fmt.Sprintf("marker-%016x", rand.Uint64()),
		slack: usage{goroutines: 25, heap: 16 << 20},
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return w, fmt.Errorf("create a world: %w", err)
	}
	log, err := os.Create(filepath.Join(w.dir, "faults.log"))
	if err != nil {
		return w, fmt.Errorf("create a world: %w", err)
	}
	w.faults = &faults{log: log}
	watchCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.watching.Go(func() { w.faults.watch(watchCtx) })
	w.stopWatching = stop
	if err := w.startAPI(ctx); err != nil {
		return w, err
	}
	if err := w.startNodes(ctx); err != nil {
		return w, err
	}
	w.core, err = w.subscribe()
	return w, err
}

// close ends all processes.
func (w *world) close() {
	if w.stopWatching != nil {
		w.stopWatching()
		w.watching.Wait()
	}
	if w.nc != nil {
		w.nc.Close()
	}
	if w.core != nil {
		w.core.nc.Close()
	}
	if w.faults != nil {
		_ = w.faults.log.Close()
	}
	for _, worker := range w.workers {
		worker.close()
	}
	for _, pod := range w.pods {
		_ = pod.Close() // an empty control group that remains does no harm
	}
	for _, n := range w.nodes {
		_ = n.kill()
	}
	if w.api != nil && w.api.StandIn != nil {
		_ = w.api.Kill()
	}
}

func (w *world) startAPI(ctx context.Context) error {
	port, err := w.ports.Free(ctx)
	if err != nil {
		return err
	}
	w.api = &standIn{key: fmt.Sprintf("key-%016x", rand.Uint64())}
	cfg := standInConfig{Key: w.api.key, Seed: w.seed, Faults: w.unwell, Sessions: w.sessions}
	w.api.StandIn, err = w.keeper.StartStandIn(ctx, w.dir, fmt.Sprintf("127.0.0.1:%d", port), cfg)
	return err
}

// note adds a problem: the scenario has failed.
func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// addrs returns the URL of several NATS servers.
func addrs(list []string) string { return "nats://" + strings.Join(list, ",nats://") }
