package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/capstan-worker/capstan/test/node"
)

// pythonClient is a program that uses clients/capstan.py.
func pythonClient(t *testing.T) client {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: clients/capstan.py was not run: python3 is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import nats").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: clients/capstan.py was not run: pip install nats-py\n%s", out)
	}
	dir := t.TempDir()
	for _, file := range []string{"../../clients/capstan.py", "testdata/clients/run.py"} {
		if err := copyInto(dir, file); err != nil {
			t.Fatal(err)
		}
	}
	return program(filepath.Join(dir, "run.py")).runsWith(python)
}

// The checker knows nats-py by stubs of what is used of it: the package itself is not among node's.
// It is not parallel: a compiler takes the time that other tests need to meet their deadlines.
func TestThePythonClientHasTypes(t *testing.T) {
	interpreter, modules := node.Find(t), node.Packages(t.Context(), t)
	dir := t.TempDir()
	for _, file := range []string{"../../clients/capstan.py", "testdata/clients/run.py", "testdata/clients/pyrightconfig.json"} {
		if err := copyInto(dir, file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "typings"), os.DirFS("testdata/clients/stubs")); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), interpreter, filepath.Join(modules, "pyright", "index.js"), "--project", dir).CombinedOutput()
	if err != nil {
		t.Errorf("pyright: %v\n%s", err, out)
	}
}
