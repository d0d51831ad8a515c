package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/capstan-worker/capstan/test/process"
)

const workerPackage = "github.com/capstan-worker/capstan/cmd/worker"

// prepare builds the workers that the scenarios need.
func prepare(ctx context.Context, o options, chosen []scenario) (*program, error) {
	dir, err := os.MkdirTemp("", "capstan-chaos-")
	if err != nil {
		return nil, fmt.Errorf("create a folder: %w", err)
	}
	p := &program{dir: dir, worker: filepath.Join(dir, "worker"), race: o.race}
	race := fmt.Sprintf("-race=%t", o.race)
	if err := process.Build(ctx, workerPackage, p.worker, race); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(chosen, func(s scenario) bool { return s.clocks || o.world(s).clocks }) {
		p.skewed = filepath.Join(dir, "worker-skewed")
		if err := process.BuildSkewed(ctx, dir, workerPackage, p.skewed, race); err != nil {
			return nil, err
		}
	}
	if o.older != "" {
		if p.older, err = olderWorker(ctx, dir, o.older); err != nil {
			return nil, err
		}
	}
	p.keeper, err = process.NewKeeper(ctx)
	return p, err
}

// olderWorker returns the path of an older worker: the file with that name, or one that it builds from that commit.
func olderWorker(ctx context.Context, dir, name string) (path string, err error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		return filepath.Abs(name)
	}
	tree := filepath.Join(dir, "older")
	if err := command(ctx, "", "git", "worktree", "add", "--detach", tree, name); err != nil {
		return "", fmt.Errorf("check out the older worker: %w", err)
	}
	defer func() {
		err = errors.Join(err, command(context.WithoutCancel(ctx), "", "git", "worktree", "remove", "--force", tree))
	}()
	path = filepath.Join(dir, "worker-older")
	if err := command(ctx, tree, "go", "build", "-o", path, workerPackage); err != nil {
		return "", fmt.Errorf("build the older worker: %w", err)
	}
	return path, nil
}

// command runs a program in a folder; empty: in the present one.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
