package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// The README's program in Go is copied by people: it has to compile, and to do what the README says.
// It is not parallel: a compiler takes the time that other tests need to meet their deadlines.
func TestTheREADMEsProgramRunsAsPrinted(t *testing.T) {
	source := readmeProgram(t, "go", "main.go")
	binary := filepath.Join(filepath.Dir(source), "example")
	for _, args := range [][]string{{"vet", source}, {"build", "-o", binary, source}} {
		if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "gofmt", "-l", source).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: got %s, %v, want nothing", out, err)
	}
	w := newWorld(t)
	w.startReady("w1")
	printed := &buffer{}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), "NATS_URL="+w.nats.URL())
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		if got := printed.String(); !strings.Contains(got, "ord-1842 succeeded ") {
			return fmt.Errorf("got %q, want the task's event", got)
		}
		return nil
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: got %v, want status 0\n%s", err, printed)
	}
	natstest.Eventually(t, func() error {
		consumer, err := w.js.Consumer(t.Context(), "TASK_RESULTS", "billing")
		if err != nil {
			return err
		}
		if info := consumer.CachedInfo(); info.AckFloor.Consumer != 1 || info.NumAckPending != 0 {
			return fmt.Errorf("got %+v, want that the event is acknowledged", info)
		}
		return nil
	})
}

// readmeProgram writes the README's one program in a language to a file with this name, in a folder of its own, and
// returns its path.
func readmeProgram(t *testing.T, language, name string) (source string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(programs) != 1 {
		t.Fatalf("got %d programs in %s, want one", len(programs), language)
	}
	source = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(source, programs[0][1], 0o600); err != nil {
		t.Fatal(err)
	}
	return source
}
