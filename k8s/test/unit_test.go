package k8s_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// mostExposed is the most that systemd-analyze security may say of the unit, from 0.0 to 10.0, times ten.
const mostExposed = "20"

// unit returns the systemd unit of docs/operations.md.
func unit(t *testing.T) string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, filepath.Join(root, "docs", "operations.md")), "\n### systemd\n")
	_, text, ok := strings.Cut(section, "\n```ini\n")
	text, _, closed := strings.Cut(text, "```")
	if !ok || !closed {
		t.Fatal("docs/operations.md: got no unit under systemd, want one")
	}
	return text
}

// directives returns the values of a directive, in their order.
func directives(t *testing.T, name string) (values []string) {
	t.Helper()
	for line := range strings.Lines(unit(t)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// directive returns the only value of a directive.
func directive(t *testing.T, name string) string {
	t.Helper()
	values := directives(t, name)
	if len(values) != 1 {
		t.Fatalf("%s: got %q, want one", name, values)
	}
	return values[0]
}

// systemdAnalyze runs the command on the unit, whose binary is one of this machine.
func systemdAnalyze(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("NOT TESTED: the unit in docs/operations.md. systemd-analyze is missing; Debian has it in the package systemd")
	}
	file := filepath.Join(t.TempDir(), "capstan.service")
	text := strings.Replace(unit(t), directive(t, "ExecStart"), os.Args[0], 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, append(args, file)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), file+":") { // an unknown directive is only a warning
		t.Errorf("systemd-analyze %s: got %v\n%s\nwant neither an error nor a warning", args[0], err, out)
	}
}

func TestSystemdUnderstandsTheDocumentedUnit(t *testing.T) {
	systemdAnalyze(t, "verify", "--man=no")
}

func TestTheDocumentedUnitGivesTheWorkerNoPrivileges(t *testing.T) {
	systemdAnalyze(t, "security", "--offline=yes", "--no-pager", "--threshold="+mostExposed)
	for name, want := range map[string]string{"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "Restart": "on-failure"} {
		if got := directive(t, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestTheDocumentedUnitFitsTheWorker(t *testing.T) {
	pod := production(t, "", "")
	variables := map[string]string{}
	for _, line := range directives(t, "Environment") {
		for assignment := range strings.FieldsSeq(line) {
			name, text, _ := strings.Cut(assignment, "=")
			variables[name] = text
			if _, ok := defaults(t)[name]; !ok && name != "GOMEMLIMIT" {
				t.Errorf("Environment: got %s, want a setting of the worker", name)
			}
		}
	}
	drain := parsed(t, time.ParseDuration, defaults(t)["DRAIN_TIMEOUT"])
	if got := time.Duration(parsed(t, strconv.Atoi, directive(t, "TimeoutStopSec"))) * time.Second; got != drain+afterDrain {
		t.Errorf("TimeoutStopSec: got %v, want %v more than the drain's %v", got, afterDrain, drain)
	}
	limit := parsed(t, resource.ParseQuantity, directive(t, "MemoryMax")+"i") // systemd's M is 1024 × 1024
	if limits := pod.container.Resources.Limits; !limit.Equal(*limits.Memory()) || variables["GOMEMLIMIT"] != pod.env["GOMEMLIMIT"] {
		t.Errorf("memory: got %v with GOMEMLIMIT %s, want a pod's %v with %s", &limit, variables["GOMEMLIMIT"], limits.Memory(), pod.env["GOMEMLIMIT"])
	}
	for _, credential := range directives(t, "LoadCredential") {
		name, _, _ := strings.Cut(credential, ":")
		if text := strings.Join(directives(t, "Environment"), " ") + " "; !strings.Contains(text, "_FILE=%d/"+name+" ") {
			t.Errorf("credential %s: got none of %q that reads it, want one", name, text)
		}
	}
}
