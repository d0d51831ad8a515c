package k8s_test

import (
	"bufio"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// afterDrain is the time that a process needs to exit once its drain is over.
const afterDrain = 15 * time.Second

func TestAWorkerIsNotKilledWhileItDrains(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		w := workerOf(t, objects)
		request, drain := w.duration(t, "ANCHORBROWSER_REQUEST_TIMEOUT"), w.duration(t, "DRAIN_TIMEOUT")
		if drain < request+5*time.Second {
			t.Errorf("DRAIN_TIMEOUT: got %v, want 5s more than the request's %v", drain, request)
		}
		if grace := time.Duration(*w.pod.TerminationGracePeriodSeconds) * time.Second; grace != drain+afterDrain {
			t.Errorf("grace period: got %v, want %v more than the drain's %v", grace, afterDrain, drain)
		}
	})
}

// Each container here is a Go program: the worker, and the NATS server of the dev overlay. Without GOMEMLIMIT the kernel
// kills it when large results end together.
func TestGoKnowsTheMemoryLimit(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		for name, pod := range pods(t, objects) {
			for _, c := range pod.Containers {
				checkMemory(t, name, c)
			}
		}
		if value, ok := workerOf(t, objects).env["GOMAXPROCS"]; ok {
			t.Errorf("GOMAXPROCS: got %s, want none: Go follows the CPU limit", value)
		}
	})
}

func checkMemory(t *testing.T, name string, c corev1.Container) {
	t.Helper()
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if i < 0 {
		t.Errorf("%s: GOMEMLIMIT: got none, want 90 %% of the limit", name)
		return
	}
	got, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
	if err != nil {
		t.Fatalf("%s: GOMEMLIMIT: %v", name, err)
	}
	limit, request := c.Resources.Limits[corev1.ResourceMemory], c.Resources.Requests[corev1.ResourceMemory]
	if want := inMiB(limit) * 9 / 10; got.Value() != want<<20 {
		t.Errorf("%s: GOMEMLIMIT: got %v, want %dMi, 90 %% of the limit", name, &got, want)
	}
	if !request.Equal(limit) {
		t.Errorf("%s: memory request: got %v, want the limit, %v", name, &request, &limit)
	}
}

func inMiB(q resource.Quantity) int64 { return q.Value() >> 20 }

// The worker of the dev overlay writes results to the NATS of the overlay as fast as they arrive.
func TestTheNATSOfTheDevOverlayHasMemoryForWhatAWorkerWrites(t *testing.T) {
	objects := overlays(t)["dev"]
	nats := only[appsv1.StatefulSet](t, objects, "StatefulSet").Spec.Template.Spec.Containers[0]
	memory, worker := nats.Resources.Limits[corev1.ResourceMemory], workerOf(t, objects).container.Resources.Limits[corev1.ResourceMemory]
	if inMiB(memory) < 2*inMiB(worker) {
		t.Errorf("memory of NATS: got %v, want twice the worker's %v: 60 results of 8 MiB at once took 770 MB", &memory, &worker)
	}
}

func TestTheFleetCanUseItsSize(t *testing.T) {
	const mostPending = 50_000 // with more, NATS redelivers a dead worker's tasks too late
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		w := workerOf(t, objects)
		each, total := w.number(t, "MAX_IN_FLIGHT"), w.number(t, "MAX_IN_FLIGHT_TOTAL")
		if total > mostPending {
			t.Errorf("MAX_IN_FLIGHT_TOTAL: got %d, want at most %d", total, mostPending)
		}
		if got := w.deployment.Spec.Replicas; got != nil {
			t.Errorf("replicas: got %d, want none: only the scaler sets them", *got)
		}
		if got := only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec.UnhealthyPodEvictionPolicy; got == nil || *got != policyv1.AlwaysAllow {
			t.Error("unhealthyPodEvictionPolicy: got another one, want AlwaysAllow, so that a worker that is not ready does not block the drain of its node")
		}
		for _, s := range all[custom](t, objects, "ScaledObject") {
			if got := s.number(t, "spec", "maxReplicaCount") * each; got > total {
				t.Errorf("maxReplicaCount × MAX_IN_FLIGHT: got %d, want at most MAX_IN_FLIGHT_TOTAL, %d", got, total)
			}
			text, _ := s.at("spec", "triggers", "0", "metadata", "lagThreshold").(string)
			if threshold, err := strconv.Atoi(text); err != nil || 2*threshold > each {
				t.Errorf("lagThreshold: got %q, want at most half of MAX_IN_FLIGHT, %d", text, each)
			}
		}
	})
}

// With the documented permissions, a worker with another prefix gets no answers from NATS.
func TestProductionUsesTheInboxPrefixOfTheDocumentedPermissions(t *testing.T) {
	prefix := workerOf(t, overlays(t)["production"]).env["NATS_INBOX_PREFIX"]
	line := regexp.MustCompile(`subscribe: \["(\S+)\.>"\] +# NATS_INBOX_PREFIX=_INBOX_worker\n`).FindStringSubmatch(read(t, permissions))
	if len(line) < 2 || prefix != line[1] {
		t.Errorf("NATS_INBOX_PREFIX: got %q, want the subscription in %s: %v", prefix, permissions, line)
	}
}

// A worker that refuses its settings exits at once, with a line for each mistake.
func TestTheWorkerAcceptsItsSettings(t *testing.T) {
	dir := t.TempDir()
	binary, secret, creds := filepath.Join(dir, "worker"), filepath.Join(dir, "secret"), filepath.Join(dir, "nats.creds")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/worker")
	build.Dir = filepath.FromSlash(root)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	for file, text := range map[string]string{secret: "secret", creds: credentials(t)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := defaults(t)
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		cmd := exec.CommandContext(t.Context(), binary)
		for name, value := range workerOf(t, objects).env {
			if _, ok := settings[name]; !ok && name != "GOMEMLIMIT" { // which Go reads
				t.Errorf("variable %s: got an unknown setting, want one of worker -help", name)
			}
			switch {
			case name == "ADMIN_ADDR":
				value = "127.0.0.1:0"
			case strings.HasPrefix(name, "NATS_TLS_"):
				continue // needs certificates
			case name == "NATS_CREDS_FILE" && value != "":
				value = creds
			case strings.HasSuffix(name, "_FILE") && value != "":
				value = secret
			}
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if mistakes := startAndStop(t, cmd); mistakes != "" {
			t.Errorf("worker: got %s, want one that starts", mistakes)
		}
	})
}

// credentials returns a credentials file: a user's JWT, as far as a worker reads it, and a seed.
func credentials(t *testing.T) string {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return "-----BEGIN NATS USER JWT-----\ne30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+key+`"}`)) + ".e30\n------END NATS USER JWT------\n" +
		"-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n"
}

// startAndStop stops a worker as soon as it listens for probes. If it exits before, it returns what the worker printed.
func startAndStop(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var mistakes strings.Builder
	cmd.Stderr = &mistakes
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "admin server listening") {
			_ = cmd.Process.Signal(syscall.SIGTERM) // if it has exited, Wait says so
		}
	}
	if err := cmd.Wait(); err != nil {
		return mistakes.String() + err.Error()
	}
	return ""
}
