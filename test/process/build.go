package process

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// buildPatience is how long a build may take with an empty build cache.
const buildPatience = 5 * time.Minute

// Build builds a program of this module.
func Build(ctx context.Context, pkg, path string, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	args := slices.Concat([]string{"build"}, flags, []string{"-o", path, pkg})
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
