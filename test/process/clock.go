package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// SkewVariable in the environment of a program that BuildSkewed built shifts its clock by that many seconds.
const SkewVariable = "CAPSTAN_TEST_CLOCK_SKEW"

// BuildSkewed builds a program of this module whose clock SkewVariable shifts. It replaces time.Now for the whole
// program, libraries included. Durations are still measured correctly. Neither the files of the standard library nor
// other builds change.
func BuildSkewed(ctx context.Context, folder, pkg, path string, flags ...string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the standard library: %w", err)
	}
	file := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the standard library: %w", err)
	}
	const reading = "\tsec, nsec, mono := runtimeNow()\n"
	skewed := strings.Replace(string(text), reading, reading+"\tsec += skew()\n", 1)
	if skewed == string(text) {
		return errors.New("time.Now of this version of Go does not look as expected")
	}
	skewed = strings.Replace(skewed, "import (", "import (\n\t\"sync\"\n\t\"syscall\"", 1) + `
var skew = sync.OnceValue(func() int64 {
	text, _ := syscall.Getenv("` + SkewVariable + `")
	n, err := atoi(text)
	if err != nil {
		return 0
	}
	return int64(n)
})
`
	return BuildWith(ctx, map[string]string{file: skewed}, folder, pkg, path, flags...)
}
