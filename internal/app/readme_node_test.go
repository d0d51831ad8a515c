package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/test/node"
)

func TestTheREADMEsNodeProgramRunsAsPrinted(t *testing.T) {
	t.Parallel()
	source := readmeProgram(t, "js", "tasks.mjs")
	if out, err := exec.CommandContext(t.Context(), node.Find(t), "--check", source).CombinedOutput(); err != nil {
		t.Fatalf("node --check: %v\n%s", err, out)
	}
	program := node.Command(t.Context(), t, source)
	w := newWorld(t)
	w.startReady("w1")
	runNode(t, w, program)
}

// runNode runs the program until it has printed and acknowledged its event.
func runNode(t *testing.T, w *world, cmd *exec.Cmd) {
	t.Helper()
	printed := &buffer{}
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
