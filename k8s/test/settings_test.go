package k8s_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// afterDrain is the time that a process needs to exit once its drain is over.
const afterDrain = 15 * time.Second

func checkDrain(t *testing.T, o overlay) {
	t.Helper()
	request := parsed(t, time.ParseDuration, o.setting(t, "ANCHORBROWSER_REQUEST_TIMEOUT"))
	drain := parsed(t, time.ParseDuration, o.setting(t, "DRAIN_TIMEOUT"))
	if drain < request+5*time.Second {
		t.Errorf("DRAIN_TIMEOUT: got %v, want 5s more than the request's %v", drain, request)
	}
	if grace := time.Duration(*o.pod.TerminationGracePeriodSeconds) * time.Second; grace != drain+afterDrain || o.container.Lifecycle != nil {
		t.Errorf("grace period: got %v, want %v more than the drain's %v, and no lifecycle", grace, afterDrain, drain)
	}
}

// Each container here is a Go program: the worker, and the NATS server of the dev overlay. Without GOMEMLIMIT the kernel
// kills it when large results end together. That server writes and reads what one worker holds: it needs twice as much.
func checkMemory(t *testing.T, o overlay) {
	t.Helper()
	for name, w := range workloads(o) {
		c := w.Spec.Containers[0]
		limit, request := c.Resources.Limits[corev1.ResourceMemory], c.Resources.Requests[corev1.ResourceMemory]
		if !request.Equal(limit) {
			t.Errorf("%s: memory request: got %v, want the limit, %v", name, &request, &limit)
		}
		if worker := o.container.Resources.Limits.Memory(); name == "nats" && limit.Value() < 2*worker.Value() {
			t.Errorf("%s: memory limit: got %v, want twice the worker's %v", name, &limit, worker)
		}
		var text string
		for _, e := range c.Env {
			if e.Name == "GOMEMLIMIT" {
				text = strings.TrimSuffix(e.Value, "B")
			}
		}
		if got := parsed(t, resource.ParseQuantity, text); got.Value() != limit.Value()/10*9 {
			t.Errorf("%s: GOMEMLIMIT: got %v, want 90 %% of the limit, %v", name, &got, &limit)
		}
	}
}

// most returns how many tasks all workers may have in progress: for auto, where the plan has no limit.
func (o overlay) most(t *testing.T) int {
	t.Helper()
	if total := o.setting(t, "MAX_IN_FLIGHT_TOTAL"); total != "auto" {
		return parsed(t, strconv.Atoi, total)
	}
	return 10_000
}

func checkFleet(t *testing.T, o overlay) {
	t.Helper()
	const mostPending = 50_000 // with more, NATS redelivers a dead worker's tasks too late
	if got := o.most(t); got > mostPending {
		t.Errorf("MAX_IN_FLIGHT_TOTAL: got %d, want at most %d", got, mostPending)
	}
	if got := o.deployment.Spec.Replicas; got != nil {
		t.Errorf("replicas: got %d, want none: only the scaler sets them", *got)
	}
	if got := only[policyv1.PodDisruptionBudget](t, o).Spec.UnhealthyPodEvictionPolicy; got == nil || *got != policyv1.AlwaysAllow {
		t.Error("unhealthyPodEvictionPolicy: got another one, want AlwaysAllow: a worker that is not ready must not block the drain of its node")
	}
}

// A worker that refuses its settings exits at once, with a line for each mistake.
func TestTheWorkerAcceptsItsSettings(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "worker")
	output(t, "go build -o "+binary+" ./cmd/worker")
	for overlayName, o := range overlays(t) {
		t.Run(overlayName, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary)
			for name, value := range o.env {
				if _, ok := defaults(t)[name]; !ok && name != "GOMEMLIMIT" { // which Go reads
					t.Errorf("variable %s: got an unknown setting, want one of worker -help", name)
				}
				switch {
				case name == "ADMIN_ADDR":
					value = "127.0.0.1:0"
				case name == "ANCHORBROWSER_API_KEY_FILE":
					name, value = "ANCHORBROWSER_API_KEY", "secret"
				case strings.HasSuffix(name, "_FILE"):
					continue // needs credentials or certificates
				}
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			if printed, ok := printedUntil(t, cmd, "admin server listening"); !ok {
				t.Errorf("worker: got %s, want one that starts", printed)
			}
		})
	}
}

// printedUntil starts a program, which runs until the test ends, and returns what it has printed when a line contains a
// text. If it exits before, ok is false.
func printedUntil(t *testing.T, cmd *exec.Cmd, text string) (printed string, ok bool) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed += lines.Text() + "\n"
		if strings.Contains(lines.Text(), text) {
			return printed, true
		}
	}
	return printed, false
}

// setting returns the overlay's value of a setting, or the worker's default.
func (o overlay) setting(t *testing.T, name string) string {
	t.Helper()
	if value, ok := o.env[name]; ok {
		return value
	}
	value, ok := defaults(t)[name]
	if !ok {
		t.Fatalf("setting %s: got none, want one of the worker's", name)
	}
	return value
}

func parsed[T any](t *testing.T, parse func(string) (T, error), text string) T {
	t.Helper()
	v, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// defaults returns the worker's settings with their defaults, which may be empty. They are those of `worker -help`: a test
// of the package app compares both.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:`(.*?)`)? \\|").FindAllStringSubmatch(read(t, root+"/docs/settings.md"), -1) {
		found[row[1]] = row[2]
	}
	return found
}
