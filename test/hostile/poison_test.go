package hostile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/process"
)

// No known message kills a worker. So these tests build one that dies when a request contains a marker, from a copy of the
// package task that searches for the marker before it reads a request. The sources do not change.
const poison = `
func searchForPoison(request any) {
	text := fmt.Sprintf("%s", request)
	switch {
	case strings.Contains(text, "poison:exit"):
		os.Exit(3)
	case strings.Contains(text, "poison:panic"):
		panic("a poisoned request")
	case strings.Contains(text, "poison:hang"):
		select {}
	}
}
`

// buildPoisonable builds a worker that the markers kill.
func buildPoisonable(t *testing.T) binaries {
	t.Helper()
	b := binaries{dir: t.TempDir()}
	b.worker = filepath.Join(b.dir, "worker")
	replaced := map[string]string{}
	sources, err := filepath.Glob("../../internal/task/*.go")
	if err != nil {
		t.Fatal(err)
	}
	const begin = "func ParseRequest("
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		before, after, found := strings.Cut(string(text), begin)
		if !found || strings.HasSuffix(source, "_test.go") {
			continue
		}
		signature, body, _ := strings.Cut(after, "{\n")
		argument, _, _ := strings.Cut(signature, " ")
		path, err := filepath.Abs(source)
		if err != nil {
			t.Fatal(err)
		}
		replaced[path] = before + begin + signature + "{\n\tsearchForPoison(" + argument + ")\n" + body
		replaced[filepath.Join(filepath.Dir(path), "poison.go")] = "package task\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"strings\"\n)\n" + poison
	}
	if len(replaced) != 2 {
		t.Fatalf("found %d files with %q, want one", len(replaced)/2, begin)
	}
	if err := process.BuildWith(t.Context(), replaced, b.dir, workerPackage, b.worker, noRace); err != nil {
		t.Fatal(err)
	}
	b.keep(t)
	return b
}

// A request that kills each worker that reads it ends with a dead letter, and other tasks continue.
func TestARequestThatKillsWorkersEnds(t *testing.T) {
	heavy(t)
	b := buildPoisonable(t)
	for _, effect := range []string{"exit", "panic", "hang"} {
		t.Run(effect, func(t *testing.T) {
			w := newWorldWith(t, b)
			w.setPlan(honestID, anchortest.Plan{Run: 200 * time.Millisecond})
			w.start("ACK_WAIT=2s")
			w.publish(request("attack", attackPlan, member("model", quote("poison:"+effect))))
			for began := time.Now(); len(w.events.all()) == 0; pause(t, 100*time.Millisecond) {
				if time.Since(began) > 3*time.Minute {
					t.Fatalf("the request has no event; %d workers were started", w.count)
				}
				w.replace(effect == "hang")
			}
			w.ready()
			for i := range 5 {
				w.publish(request(fmt.Sprint(honestID, "-", i), honestID))
			}
			others := w.judgeNeighbors(w.await(time.Minute))
			if len(others) != 1 {
				t.Fatalf("got %d events of other than honest tasks, want one", len(others))
			}
			ended(t, others[0], task.Poisoned)
			w.deadLetters(1)
			t.Logf("%d workers were started", w.count)
			w.drain()
		})
	}
}

// replace starts a worker if the last one has died. One that hangs is killed first.
func (w *world) replace(hung bool) {
	w.t.Helper()
	if hung {
		pause(w.t, 4*time.Second)
		if err := w.worker.Kill(); err != nil {
			w.t.Fatal(err)
		}
	}
	if !w.worker.Alive() {
		w.launch("ACK_WAIT=2s")
	}
}

// ready waits until a worker is ready, and starts one if none is alive.
func (w *world) ready() {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		w.replace(false)
		return w.worker.Ready(w.t.Context())
	})
}

// deadLetters waits until there are so many dead letters.
func (w *world) deadLetters(want uint64) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		s, err := w.js.Stream(w.t.Context(), "TASK_DEAD")
		if err != nil {
			return err
		}
		if got := s.CachedInfo().State.Msgs; got != want {
			return fmt.Errorf("got %d dead letters, want %d", got, want)
		}
		return nil
	})
}

// The tasks of workers that die for other reasons must not count as poisoned.
func TestTasksAreNotBlamedForWorkersThatAreKilled(t *testing.T) {
	heavy(t)
	const n, kills = 20, 14
	w := newWorld(t)
	w.setPlan(attackPlan, anchortest.Plan{Run: kills*4*time.Second + 5*time.Second})
	w.start("ACK_WAIT=2s")
	for i := range n {
		w.publish(request(fmt.Sprint("attack-", i), attackPlan))
	}
	natstest.Eventually(t, func() error {
		if got := w.api.Totals().Accepted; got < n {
			return fmt.Errorf("got %d tasks accepted, want %d", got, n)
		}
		return nil
	})
	pause(t, time.Second) // until the workflows' ids are recorded
	for range kills {
		if err := w.worker.Kill(); err != nil {
			t.Fatal(err)
		}
		w.launch("ACK_WAIT=2s")
		pause(t, 4*time.Second)
	}
	average := w.deliveries()
	for _, ev := range w.await(2 * time.Minute) {
		ended(t, ev, "")
	}
	if got := w.api.Totals().Accepted; got != n {
		t.Errorf("got %d workflows, want %d", got, n)
	}
	if average <= 10 {
		t.Errorf("got %d deliveries of each request, want more than ten", average)
	}
	w.drain()
}

// deliveries returns how often the requests were delivered on average, as the consumer counts.
func (w *world) deliveries() uint64 {
	w.t.Helper()
	var consumer jetstream.Consumer
	natstest.Eventually(w.t, func() (err error) {
		consumer, err = w.js.Consumer(w.t.Context(), "TASKS", "worker")
		return err
	})
	info := consumer.CachedInfo()
	return info.Delivered.Consumer / max(info.Delivered.Stream, 1)
}
