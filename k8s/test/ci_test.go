package k8s_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A check that did not look must not pass for one that found nothing, and one that found something must fail.
func TestTheLookForVulnerabilitiesFailsOnAFindingAndSaysWhenItIsSkipped(t *testing.T) {
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
			fake := "#!/bin/sh\ncat \"" + filepath.Join(bin, "prints") + "\" >&2\nexit " + string(rune('0'+c.exit)) + "\n"
			write(t, filepath.Join(bin, "prints"), c.prints+"\n")
			write(t, filepath.Join(bin, "go"), fake)
			if err := os.Chmod(filepath.Join(bin, "go"), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, ".ci", "vuln"))
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			got := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				got = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want || !strings.Contains(string(out), c.prints) {
				t.Errorf("got status %d, %s, want %d and what govulncheck printed", got, out, c.want)
			}
			if got := strings.Contains(string(out), "SKIPPED govulncheck"); got != c.skipped {
				t.Errorf("says that it was skipped: got %v, want %v", got, c.skipped)
			}
		})
	}
}

// What the README tells people to run is what CI runs.
func TestCIRunsTheCommandsOfTheREADME(t *testing.T) {
	ci := read(t, filepath.Join(root, ".ci", "run"))
	text := read(t, filepath.Join(root, "README.md"))
	for _, command := range []string{"go test ./...", "go run ./cmd/capstan demo"} {
		if !strings.Contains(text, "\n"+command+"\n") {
			t.Errorf("README.md: got no command %q, want it", command)
		}
		if !regexp.MustCompile(`(?m)^run ` + regexp.QuoteMeta(command)).MatchString(ci) {
			t.Errorf(".ci/run: got no %q, want it", command)
		}
	}
}
