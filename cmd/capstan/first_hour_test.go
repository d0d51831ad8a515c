//go:build !nodemo

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/test/node"
)

// The test that docs/first-hour.md prints passes against the stub with its script, and every rule of that is met.
func TestTheTestOfTheFirstHourPassesAgainstTheStub(t *testing.T) {
	t.Parallel()
	interpreter, modules := node.Find(t), node.Packages(t.Context(), t)
	page, err := os.ReadFile("../../docs/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"heading.mjs", "heading.test.mjs", "stub.json"} {
		found := regexp.MustCompile("(?s)\n`" + regexp.QuoteMeta(name) + "`:\n\n```\\w+\n(.*?)```").FindSubmatch(page)
		if found == nil {
			t.Fatalf("got no file %s", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), found[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startStub(t, "--script="+filepath.Join(dir, "stub.json"))
	tests := exec.CommandContext(t.Context(), interpreter, "--test")
	tests.Dir = dir
	tests.Env = append(os.Environ(), "ANCHORBROWSER_BASE_URL="+s.url, "ANCHORBROWSER_API_KEY="+s.key)
	if out, err := tests.CombinedOutput(); err != nil || !strings.Contains(string(out), "pass 2") {
		t.Errorf("got %v, %s\nwant that both tests pass\n%s", err, out, &s.out)
	}
	stop(t, s.tool)
	if strings.Contains(s.out.String(), "no task met the rule") {
		t.Errorf("got %s, want that each rule is met", &s.out)
	}
}
