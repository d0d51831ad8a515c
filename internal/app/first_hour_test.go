package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/test/node"
)

// The programs of docs/first-hour.md are copied by people who see Capstan for the first time.
// It is not parallel: a compiler takes the time that other tests need to meet their deadlines.
func TestTheProgramsOfTheFirstHourRunAsPrinted(t *testing.T) {
	w := newWorld(t)
	w.startReady("w1")
	t.Run("Go", func(t *testing.T) {
		source := firstHourFile(t, "main.go", "main.go")
		binary := filepath.Join(filepath.Dir(source), "example")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		runFirstHour(t, w, exec.CommandContext(t.Context(), binary))
	})
	t.Run("TypeScript", func(t *testing.T) {
		interpreter, modules := node.Find(t), node.Packages(t.Context(), t)
		compiled, err := compileTypeScript(filepath.Join(t.TempDir(), "ts"), modules, firstHourFile(t, "heading.mts", "run.ts"))
		if err != nil {
			t.Fatal(err)
		}
		runFirstHour(t, w, exec.CommandContext(t.Context(), interpreter, string(compiled)))
	})
}

// firstHourFile writes the file that docs/first-hour.md prints under a name to a folder of its own, and returns its path.
func firstHourFile(t *testing.T, printed, name string) (path string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n`" + regexp.QuoteMeta(printed) + "`:\n\n```\\w+\n(.*?)```").FindSubmatch(page)
	if found == nil {
		t.Fatalf("got no file %s", printed)
	}
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, found[1], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runFirstHour runs a program, which must print that its task succeeded.
func runFirstHour(t *testing.T, w *world, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(os.Environ(), "NATS_URL="+w.nats.URL(), "SITE=https://example.com")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "succeeded ") {
		t.Errorf("got %v, %s, want the task's result", err, out)
	}
}
