package app_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/capstan-worker/capstan/test/node"
)

// nodeClient is a program that uses clients/capstan.ts.
func nodeClient(t *testing.T) client {
	t.Helper()
	interpreter, modules := node.Find(t), node.Packages(t.Context(), t)
	compiling.Do(func() {
		compiled, errCompile = compileTypeScript(filepath.Join(scratch, "typescript"), modules, "testdata/clients/run.ts")
	})
	if errCompile != nil {
		t.Fatal(errCompile)
	}
	return compiled.runsWith(interpreter)
}

// The program is compiled once for all tests.
var (
	compiling  sync.Once
	compiled   program
	errCompile error
)

// compileTypeScript compiles clients/capstan.ts, and a program run.ts that uses it, in the strictest mode, in a new folder.
func compileTypeScript(dir, modules, source string) (program, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, file := range []string{"../../clients/capstan.ts", source, "testdata/clients/tsconfig.json", "testdata/clients/package.json"} {
		if err := copyInto(dir, file); err != nil {
			return "", err
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(context.Background(), filepath.Join(modules, ".bin", "tsc"), "--project", dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile clients/capstan.ts: %w\n%s", err, out)
	}
	return program(filepath.Join(dir, "run.js")), nil
}

// copyInto copies a file into a folder.
func copyInto(dir, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600)
}
