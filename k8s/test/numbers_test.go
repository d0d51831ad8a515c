package k8s_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

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
		if grace < drain+10*time.Second {
			t.Errorf("%s: grace period: got %v, want 10s more than the drain's %v", overlay, grace, drain)
		}
	}
}

func TestGoKnowsTheMemoryLimit(t *testing.T) {
	for overlay, objects := range overlays(t) {
		w := workerOf(t, objects)
		limit, err := resource.ParseQuantity(strings.TrimSuffix(w.env["GOMEMLIMIT"], "B"))
		if err != nil {
			t.Fatalf("%s: GOMEMLIMIT: %v", overlay, err)
		}
		memory := w.container.Resources.Limits[corev1.ResourceMemory]
		if got, want := limit.Value(), memory.Value()*9/10; got != want {
			t.Errorf("%s: GOMEMLIMIT: got %d bytes, want %d, 90 %% of the limit", overlay, got, want)
		}
		if request := w.container.Resources.Requests[corev1.ResourceMemory]; !request.Equal(memory) {
			t.Errorf("%s: memory request: got %v, want the limit, %v", overlay, &request, &memory)
		}
		if value, ok := w.env["GOMAXPROCS"]; ok {
			t.Errorf("%s: GOMAXPROCS: got %s, want none: Go follows the CPU limit", overlay, value)
		}
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
