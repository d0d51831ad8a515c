package k8s_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// latePending is from where on NATS passes on a dead worker's tasks too late.
const latePending = 50_000

func TestAWorkerIsNotKilledWhileItDrains(t *testing.T) {
	for overlay, objects := range overlays(t) {
		w := workerOf(t, objects)
		request, drain := w.duration(t, "ANCHORBROWSER_REQUEST_TIMEOUT"), w.duration(t, "DRAIN_TIMEOUT")
		grace := time.Duration(*w.pod.TerminationGracePeriodSeconds) * time.Second
		if drain < request+5*time.Second {
			t.Errorf("%s: DRAIN_TIMEOUT: got %v, want 5s more than the request's %v", overlay, drain, request)
		}
		if grace != drain+afterDrain {
			t.Errorf("%s: grace period: got %v, want %v more than the drain's %v", overlay, grace, afterDrain, drain)
		}
	}
}

// afterDrain is what a process needs to end once its drain is over.
const afterDrain = 15 * time.Second

// Whoever writes a systemd unit by one document, and a manifest by another, should not have to choose.
func TestEveryDocumentNamesTheSameTimeAfterTheDrain(t *testing.T) {
	named := regexp.MustCompile("DRAIN_TIMEOUT`? (?:\\+|and|plus) (\\d+) s")
	for _, file := range []string{"README.md", "docs/operations.md", "k8s/README.md", "k8s/base/deployment.yaml"} {
		found := named.FindAllStringSubmatch(read(t, filepath.Join(root, file)), -1)
		if len(found) == 0 {
			t.Errorf("%s: got no time after DRAIN_TIMEOUT, want one", file)
		}
		for _, match := range found {
			if want := fmt.Sprintf("%.0f", afterDrain.Seconds()); match[1] != want {
				t.Errorf("%s: got %q, want %s s", file, match[0], want)
			}
		}
	}
	drain := workerOf(t, overlays(t)["production"]).duration(t, "DRAIN_TIMEOUT")
	if want := fmt.Sprintf("TimeoutStopSec=%.0f", (drain + afterDrain).Seconds()); !strings.Contains(read(t, operations), want) {
		t.Errorf("%s: got another time for systemd, want %s", operations, want)
	}
}

// Each container here is a Go program: the worker, and the NATS server of the dev overlay. Without GOMEMLIMIT large
// results that come together end it.
func TestGoKnowsTheMemoryLimit(t *testing.T) {
	for overlay, objects := range overlays(t) {
		for name, pod := range pods(t, objects) {
			for _, c := range pod.Containers {
				checkMemory(t, overlay+": "+name, c)
			}
		}
		if value, ok := workerOf(t, objects).env["GOMAXPROCS"]; ok {
			t.Errorf("%s: GOMAXPROCS: got %s, want none: Go follows the CPU limit", overlay, value)
		}
	}
}

func checkMemory(t *testing.T, name string, c corev1.Container) {
	t.Helper()
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if i < 0 {
		t.Errorf("%s: GOMEMLIMIT: got none, want 90 %% of the limit", name)
		return
	}
	limit, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
	if err != nil {
		t.Fatalf("%s: GOMEMLIMIT: %v", name, err)
	}
	memory := c.Resources.Limits[corev1.ResourceMemory]
	if want := inMiB(memory) * 9 / 10; limit.Value() != want<<20 {
		t.Errorf("%s: GOMEMLIMIT: got %v, want %dMi, 90 %% of the limit", name, &limit, want)
	}
	if request := c.Resources.Requests[corev1.ResourceMemory]; !request.Equal(memory) {
		t.Errorf("%s: memory request: got %v, want the limit, %v", name, &request, &memory)
	}
}

func inMiB(q resource.Quantity) int64 { return q.Value() >> 20 }

// The worker of the dev overlay writes results to the NATS of the overlay as fast as they come.
func TestTheNATSOfTheDevOverlayTakesWhatAWorkerWrites(t *testing.T) {
	objects := overlays(t)["dev"]
	nats := only[appsv1.StatefulSet](t, objects, "StatefulSet").Spec.Template.Spec.Containers[0]
	memory, worker := nats.Resources.Limits[corev1.ResourceMemory], workerOf(t, objects).container.Resources.Limits[corev1.ResourceMemory]
	if inMiB(memory) < 2*inMiB(worker) {
		t.Errorf("memory of NATS: got %v, want twice the worker's %v: 60 results of 8 MiB at once took 770 MB", &memory, &worker)
	}
}

func TestTheFleetCanUseItsSize(t *testing.T) {
	for overlay, objects := range overlays(t) {
		w := workerOf(t, objects)
		each, total := w.number(t, "MAX_IN_FLIGHT"), w.number(t, "MAX_IN_FLIGHT_TOTAL")
		if total > latePending {
			t.Errorf("%s: MAX_IN_FLIGHT_TOTAL: got %d, want %d at most", overlay, total, latePending)
		}
		for _, s := range all[scaledObject](t, objects, "ScaledObject") {
			if got := s.Spec.MaxReplicaCount * each; got > total {
				t.Errorf("%s: maxReplicaCount × MAX_IN_FLIGHT: got %d, want MAX_IN_FLIGHT_TOTAL, %d, at most", overlay, got, total)
			}
			threshold, err := strconv.Atoi(s.Spec.Triggers[0].Metadata.Threshold)
			if err != nil || 2*threshold > each {
				t.Errorf("%s: lagThreshold: got %d, %v, want half of MAX_IN_FLIGHT, %d, at most", overlay, threshold, err, each)
			}
		}
	}
}

func TestNothingButTheScalerSetsTheNumberOfWorkers(t *testing.T) {
	for overlay, objects := range overlays(t) {
		if got := workerOf(t, objects).deployment.Spec.Replicas; got != nil {
			t.Errorf("%s: replicas: got %d, want none", overlay, *got)
		}
	}
}

// An outage of NATS or of the API makes workers not ready. It must not restart them.
func TestOnlyReadinessAsksForMoreThanTheProcess(t *testing.T) {
	for overlay, objects := range overlays(t) {
		c := workerOf(t, objects).container
		for want, probe := range map[string][]*corev1.Probe{"/livez": {c.StartupProbe, c.LivenessProbe}, "/readyz": {c.ReadinessProbe}} {
			for _, p := range probe {
				if got := p.HTTPGet.Path; got != want {
					t.Errorf("%s: probe: got %s, want %s", overlay, got, want)
				}
			}
		}
		if c.Lifecycle != nil {
			t.Errorf("%s: lifecycle: got %v, want none: there is no traffic to shed", overlay, c.Lifecycle)
		}
	}
}

func TestAWorkerThatIsNotReadyDoesNotBlockTheDrainOfItsNode(t *testing.T) {
	for overlay, objects := range overlays(t) {
		got := only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec.UnhealthyPodEvictionPolicy
		if got == nil || *got != policyv1.AlwaysAllow {
			t.Errorf("%s: unhealthyPodEvictionPolicy: got another one, want AlwaysAllow", overlay)
		}
	}
}
