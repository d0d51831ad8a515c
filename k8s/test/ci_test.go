package k8s_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A check that could not run must not look like one that found nothing.
func TestTheVulnerabilityCheckFailsOnAFindingAndSaysWhenItIsSkipped(t *testing.T) {
	for _, c := range []struct {
		name, prints string
		exit, want   int
		skipped      bool
	}{
		{"nothing found", "No vulnerabilities found.", 0, 0, false},
		{"a finding", "Vulnerability #1: GO-2026-0001", 3, 3, false},
		{"no database", `govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": no such host`, 1, 0, true},
		{"code that does not compile", "govulncheck: loading packages: there are errors", 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bin := t.TempDir()
			fake := fmt.Sprintf("#!/bin/sh\ncat <<'END' >&2\n%s\nEND\nexit %d\n", c.prints, c.exit)
			if err := os.WriteFile(filepath.Join(bin, "go"), []byte(fake), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, ".ci", "vuln"))
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, _ := cmd.CombinedOutput() // its status says how it ended
			if got := cmd.ProcessState.ExitCode(); got != c.want || !strings.Contains(string(out), c.prints) {
				t.Errorf("got status %d, %s, want %d and what govulncheck printed", got, out, c.want)
			}
			if got := strings.Contains(string(out), "SKIPPED govulncheck"); got != c.skipped {
				t.Errorf("says that it was skipped: got %v, want %v", got, c.skipped)
			}
		})
	}
}
