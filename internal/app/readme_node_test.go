package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// nodeModules names the variable of a node_modules folder that contains @nats-io/transport-node and @nats-io/jetstream.
// Without it only the program's syntax is checked: tests do not download packages.
const nodeModules = "CAPSTAN_NODE_MODULES"

func TestTheREADMEsNodeProgramRunsAsPrinted(t *testing.T) {
	t.Parallel()
	source := readmeProgram(t, "js", "tasks.mjs")
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: node is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), node, "--check", source).CombinedOutput(); err != nil {
		t.Fatalf("node --check: %v\n%s", err, out)
	}
	modules := os.Getenv(nodeModules)
	if modules == "" {
		t.Skipf("SKIPPED: only the syntax was checked, %s is not set", nodeModules)
	}
	if err := os.Symlink(modules, filepath.Join(filepath.Dir(source), "node_modules")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.startReady("w1")
	runNode(t, w, node, source)
}

// runNode runs the program until it has printed and acknowledged its event.
func runNode(t *testing.T, w *world, node, source string) {
	t.Helper()
	printed := &buffer{}
	cmd := exec.CommandContext(t.Context(), node, source)
	cmd.Env = append(os.Environ(), "NATS_URL="+w.nats.URL())
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		if got := printed.String(); !strings.Contains(got, "ord-1843 succeeded ") {
			return fmt.Errorf("got %q, want the task's event", got)
		}
		consumer, err := w.js.Consumer(t.Context(), "TASK_RESULTS", "reports")
		if err != nil {
			return err
		}
		if info := consumer.CachedInfo(); info.AckFloor.Consumer != 1 || info.NumAckPending != 0 {
			return fmt.Errorf("got %+v, want that the event is acknowledged", info)
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed: it runs until it is stopped
}
