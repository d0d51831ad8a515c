// Package node lets tests run programs in Node with packages of npm. The versions are those of package-lock.json beside it.
package node

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	// Modules is the variable that names a node_modules folder with the packages. Nothing is downloaded then.
	Modules = "CAPSTAN_NODE_MODULES"

	// Required is the variable that makes a test fail, and not be skipped, if Node or the packages cannot be had. CI sets it.
	Required = "CAPSTAN_NODE_REQUIRED"

	// installTimeout bounds the download of the packages.
	installTimeout = 3 * time.Minute
)

// manifests say which packages there are.
//
//go:embed package.json package-lock.json
var manifests embed.FS

// Command returns a command that runs a program, which must not be changed later: it is copied to a folder of its own,
// where it finds the packages. Its output is up to the caller. If Node or the packages cannot be had, the test is skipped,
// or fails if Required is set.
func Command(ctx context.Context, tb testing.TB, program string) *exec.Cmd {
	tb.Helper()
	node, modules := Find(tb), Packages(ctx, tb)
	source, err := os.ReadFile(program)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		tb.Fatal(err)
	}
	name := filepath.Join(dir, filepath.Base(program))
	if err := os.WriteFile(name, source, 0o600); err != nil {
		tb.Fatal(err)
	}
	return exec.CommandContext(ctx, node, name)
}

// Find returns the path of Node, or skips the test, or fails it if Required is set.
func Find(tb testing.TB) string {
	tb.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		unavailable(tb, fmt.Errorf("node is not installed: %w", err))
	}
	return path
}

// Packages returns a node_modules folder with the packages. If they cannot be had, the test is skipped, or fails if Required
// is set.
func Packages(ctx context.Context, tb testing.TB) string {
	tb.Helper()
	modules, err := packages(ctx)
	if err != nil {
		unavailable(tb, err)
	}
	return modules
}

// unavailable ends the test.
func unavailable(tb testing.TB, why error) {
	tb.Helper()
	if os.Getenv(Required) != "" {
		tb.Fatalf("%s is set, but %v", Required, why)
	}
	tb.Skipf("SKIPPED, nothing was tested: %v", why)
}

// packages returns a node_modules folder with the packages. It installs them once for each package-lock.json, into the
// user's cache.
func packages(ctx context.Context) (string, error) {
	if modules := os.Getenv(Modules); modules != "" {
		return modules, nil
	}
	lock, err := manifests.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "capstan-node", hex.EncodeToString(sum[:8]))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	return modules, install(ctx, dir)
}

// install downloads the packages into dir, which must not be there yet. Another process may do the same: the first one
// that is done wins. A download that fails leaves nothing behind.
func install(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "install-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(unfinished) }()
	if err := os.CopyFS(unfinished, manifests); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = unfinished
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(unfinished, dir); err != nil {
		if _, gone := os.Stat(dir); gone != nil {
			return err
		}
	}
	return nil
}
