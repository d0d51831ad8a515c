package k8s_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

const readme = "../README.md"

// snippet returns the YAML that stands first under a heading of the README.
func snippet(t *testing.T, heading string) string {
	t.Helper()
	under := regexp.MustCompile(`(?s)\n#+ ` + regexp.QuoteMeta(heading) + `\n.*?\n` + "```yaml\n(.*?)```").FindStringSubmatch(read(t, readme))
	if under == nil {
		t.Fatalf("%s: got no YAML under %q, want some", readme, heading)
	}
	return under[1]
}

// renderWith renders an overlay to which more is added.
func renderWith(t *testing.T, overlay, more string) []object {
	t.Helper()
	tree := copyTree(t)
	dir := filepath.Join(tree, "overlays", "more")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), "namespace: capstan\nresources: [../"+overlay+"]\n"+more)
	return render(t, dir)
}

func TestTheNumbersOfTheReadmeAreThoseOfTheObjects(t *testing.T) {
	_, table, ok := strings.Cut(read(t, readme), "\n| number | value | reason |\n")
	if !ok {
		t.Fatalf("%s: got no table of numbers, want one", readme)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	got := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.SplitN(strings.Trim(line, "|\n"), " | ", 3)
		if strings.HasPrefix(line, "| ---") || len(cells) != 3 {
			continue
		}
		got[strings.Trim(cells[0], " `")] = cells[1]
	}
	want := numbers(t)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s: got %q, want %q", readme, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s: got a number that no test holds, want one that is compared here", readme, name)
		}
	}
}

// numbers are production's, written as in the README.
func numbers(t *testing.T) map[string]string {
	t.Helper()
	objects := overlays(t)["production"]
	w := workerOf(t, objects)
	scaled := only[scaledObject](t, objects, "ScaledObject").Spec
	budget := only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec
	requests, limits := w.container.Resources.Requests, w.container.Resources.Limits
	found := map[string]string{
		"maxReplicaCount":               fmt.Sprint(scaled.MaxReplicaCount),
		"lagThreshold":                  scaled.Triggers[0].Metadata.Threshold,
		"terminationGracePeriodSeconds": fmt.Sprint(*w.pod.TerminationGracePeriodSeconds),
		"memory limit":                  limits.Memory().String(),
		"memory request":                requests.Memory().String(),
		"CPU":                           fmt.Sprintf("%v, limit %v", requests.Cpu(), limits.Cpu()),
		"startup probe":                 tries(w.container.StartupProbe),
		"liveness probe":                tries(w.container.LivenessProbe),
		"readiness probe":               tries(w.container.ReadinessProbe),
		"disruption budget":             strings.Replace(budget.MaxUnavailable.String(), "%", " %", 1),
		"scale-down":                    pace(t, scaled.Advanced.HorizontalPodAutoscalerConfig.Behavior.ScaleDown),
	}
	for _, name := range []string{"MAX_IN_FLIGHT", "MAX_IN_FLIGHT_TOTAL", "DRAIN_TIMEOUT", "GOMEMLIMIT"} {
		found[name] = w.env[name]
	}
	return found
}

func tries(p *corev1.Probe) string {
	return fmt.Sprintf("%d × %d s", p.FailureThreshold, p.PeriodSeconds)
}

func pace(t *testing.T, r *autoscalingv2.HPAScalingRules) string {
	t.Helper()
	if len(r.Policies) != 1 || r.Policies[0].Type != autoscalingv2.PercentScalingPolicy || r.Policies[0].PeriodSeconds != 60 {
		t.Fatalf("scale-down: got %v, want one policy, in percent of a minute", r.Policies)
	}
	after := time.Duration(*r.StabilizationWindowSeconds) * time.Second
	return fmt.Sprintf("%d %% a minute, after %.0f min", r.Policies[0].Value, after.Minutes())
}

// A port of a pod that does not run cannot be forwarded, and a tool that is not built cannot be run.
func TestTheStepsToTryItAreInAnOrderThatWorks(t *testing.T) {
	_, steps, ok := strings.Cut(read(t, readme), "\n## Try it\n")
	if !ok {
		t.Fatalf("%s: got no steps to try it, want some", readme)
	}
	last := -1
	for _, step := range []string{
		"make image", "secrets/api-key", "kubectl apply -k k8s/overlays/dev", "rollout status statefulset/nats", "rollout status deployment/worker",
		"port-forward service/nats 4222", "make build", "bin/capstan submit",
	} {
		i := strings.Index(steps, step)
		if i <= last {
			t.Errorf("%s: got %q at %d, want it after the step before, at %d", readme, step, i, last)
		}
		last = i
	}
}

func TestTheReadmeSaysHowEachComponentIsAdded(t *testing.T) {
	for _, name := range entries(t, "../components") {
		want := "| `kustomize edit add component ../../components/" + name + "`"
		if !strings.Contains(read(t, readme), "\n| ["+name+"](components/"+name+") |") || !strings.Contains(read(t, readme), want) {
			t.Errorf("%s: component %s: got no row with its command, want one", readme, name)
		}
	}
}

func TestTheLabelThatPrometheusSelectsByReachesWhatItReads(t *testing.T) {
	objects := renderWith(t, "production", snippet(t, "What Prometheus selects"))
	for kind, labels := range map[string]map[string]string{
		"PodMonitor":     only[*monitoringv1.PodMonitor](t, objects, "PodMonitor").Labels,
		"PrometheusRule": only[*monitoringv1.PrometheusRule](t, objects, "PrometheusRule").Labels,
	} {
		if got := labels["release"]; got == "" || labels["app.kubernetes.io/name"] != "capstan" {
			t.Errorf("%s: got labels %v, want release beside the others", kind, labels)
		}
	}
}

// A check with other settings or files than the worker's would say nothing of the worker.
func TestTheCheckBeforeTheWorkerSeesWhatTheWorkerSees(t *testing.T) {
	for _, overlay := range []string{"dev", "production"} {
		objects := renderWith(t, overlay, snippet(t, "A check before the worker"))
		pod := only[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec
		checkPod(t, overlay, pod)
		if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 {
			t.Fatalf("%s: containers: got %d and %d that come first, want one of each", overlay, len(pod.Containers), len(pod.InitContainers))
		}
		want := pod.Containers[0]
		want.Name, want.Command = "check", []string{"/capstan", "check"}
		want.Ports, want.StartupProbe, want.LivenessProbe, want.ReadinessProbe = nil, nil, nil, nil
		if got := pod.InitContainers[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: init container: got %+v, want the worker's own but for its command: %+v", overlay, got, want)
		}
		config := want.EnvFrom[0].ConfigMapRef.Name
		if !slices.ContainsFunc(all[corev1.ConfigMap](t, objects, "ConfigMap"), func(c corev1.ConfigMap) bool { return c.Name == config }) {
			t.Errorf("%s: init container: got settings of ConfigMap %s, want one that is there", overlay, config)
		}
	}
}
