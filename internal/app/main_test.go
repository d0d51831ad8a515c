package app_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
)

// command runs the command worker.
func command(args ...string) (status int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	status = app.Main(args, "v1.2.3", &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestHelpPrintsTheSettings(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	if err := app.WriteHelp(&want); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-help", "-h", "--help"} {
		if status, out, errOut := command(flag); status != 0 || out != want.String() || errOut != "" {
			t.Errorf("%s: got status %d, %q and %q, want 0, the settings and nothing else", flag, status, out, errOut)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	if status, out, errOut := command("-version"); status != 0 || out != "v1.2.3\n" || errOut != "" {
		t.Errorf("got status %d, %q and %q, want 0, v1.2.3 and nothing else", status, out, errOut)
	}
}

func TestAWrongSettingIsALineAndStatus1(t *testing.T) {
	if _, err := load(t, map[string]string{"LOG_LEVEL": "loud"}); err == nil {
		t.Fatal("got no error")
	}
	const want = `LOG_LEVEL must be trace, debug, info, warn or error (got "loud")` + "\n"
	if status, out, errOut := command(); status != 1 || out != "" || errOut != want {
		t.Errorf("got status %d, %q and %q, want 1, nothing and %q", status, out, errOut, want)
	}
}

func TestAnUnknownFlagIsStatus2(t *testing.T) {
	t.Parallel()
	const want = "worker takes no arguments but -help and -version: flag provided but not defined: -loud\n"
	if status, _, errOut := command("-loud"); status != 2 || errOut != want {
		t.Errorf("got status %d and %q, want 2 and %q", status, errOut, want)
	}
}

// `worker check` must not start a worker.
func TestArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	const want = "worker takes no arguments; for checks use: capstan check\n"
	for _, args := range [][]string{{"check"}, {"-version", "check"}, {"--", "-help"}, {""}} {
		if status, out, errOut := command(args...); status != 2 || out != "" || errOut != want {
			t.Errorf("%q: got status %d, %q and %q, want 2, nothing and %q", args, status, out, errOut, want)
		}
	}
}
