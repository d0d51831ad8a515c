package k8s_test

import (
	"fmt"
	"io/fs"
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
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

func TestTheNumbersOfTheReadmeAreThoseOfTheObjects(t *testing.T) {
	_, table, ok := strings.Cut(read(t, readme), "\n| number | value | reason |\n")
	if !ok {
		t.Fatalf("%s: got no table of numbers, want one", readme)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	got := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.SplitN(strings.Trim(line, "|\n"), " | ", 3)
		if !strings.HasPrefix(line, "| ---") && len(cells) == 3 {
			got[strings.Trim(cells[0], " `")] = cells[1]
		}
	}
	if want := numbers(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %q, want %q", readme, got, want)
	}
}

// numbers returns production's numbers, written as in the README.
func numbers(t *testing.T) map[string]string {
	t.Helper()
	objects := overlays(t)["production"]
	w := workerOf(t, objects)
	scaled := only[custom](t, objects, "ScaledObject")
	down := []string{"spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown"}
	policy := append(slices.Clone(down), "policies", "0")
	budget := only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec
	requests, limits := w.container.Resources.Requests, w.container.Resources.Limits
	tries := func(p *corev1.Probe) string { return fmt.Sprintf("%d × %d s", p.FailureThreshold, p.PeriodSeconds) }
	found := map[string]string{
		"maxReplicaCount":               fmt.Sprint(scaled.number(t, "spec", "maxReplicaCount")),
		"lagThreshold":                  fmt.Sprint(scaled.at("spec", "triggers", "0", "metadata", "lagThreshold")),
		"terminationGracePeriodSeconds": fmt.Sprint(*w.pod.TerminationGracePeriodSeconds),
		"memory limit":                  limits.Memory().String(),
		"memory request":                requests.Memory().String(),
		"CPU":                           fmt.Sprintf("%v, limit %v", requests.Cpu(), limits.Cpu()),
		"startup probe":                 tries(w.container.StartupProbe),
		"liveness probe":                tries(w.container.LivenessProbe),
		"readiness probe":               tries(w.container.ReadinessProbe),
		"disruption budget":             strings.Replace(budget.MaxUnavailable.String(), "%", " %", 1),
		"scale-down": fmt.Sprintf("%d %% a minute, after %.0f min", scaled.number(t, append(policy, "value")...),
			(time.Duration(scaled.number(t, append(down, "stabilizationWindowSeconds")...)) * time.Second).Minutes()),
	}
	if kind, seconds := scaled.at(append(policy, "type")...), scaled.number(t, append(policy, "periodSeconds")...); kind != "Percent" || seconds != 60 {
		t.Errorf("scale-down: got %v in %d s, want percent in a minute", kind, seconds)
	}
	for _, name := range []string{"MAX_IN_FLIGHT", "MAX_IN_FLIGHT_TOTAL", "DRAIN_TIMEOUT", "GOMEMLIMIT"} {
		found[name] = w.env[name]
	}
	return found
}

// People read a systemd unit in one document and a manifest in another.
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

// A port of a pod that does not run cannot be forwarded, and a tool that is not built cannot be run.
func TestTheStepsToTryItAreInAnOrderThatWorks(t *testing.T) {
	_, steps, _ := strings.Cut(read(t, readme), "\n## Try it\n")
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

func TestTheReadmeSaysHowToAddEachComponent(t *testing.T) {
	entries, err := os.ReadDir("../components")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, want := range []string{"\n| [" + e.Name() + "](components/" + e.Name() + ") |", "| `kustomize edit add component ../../components/" + e.Name() + "`"} {
			if !strings.Contains(read(t, readme), want) {
				t.Errorf("%s: got no %q, want it", readme, want)
			}
		}
	}
}

// renderWith renders an overlay with the YAML that comes first under a heading of the README.
func renderWith(t *testing.T, overlay, heading string) []object {
	t.Helper()
	snippet := regexp.MustCompile(`(?s)\n#+ ` + regexp.QuoteMeta(heading) + `\n.*?\n` + "```yaml\n(.*?)```").FindStringSubmatch(read(t, readme))
	if snippet == nil {
		t.Fatalf("%s: got no YAML under %q, want some", readme, heading)
	}
	tree := t.TempDir()
	if err := copyTree(tree); err != nil {
		t.Fatal(err)
	}
	name, err := newOverlay(tree, "more", "resources: [../"+overlay+"]\n"+snippet[1])
	if err != nil {
		t.Fatal(err)
	}
	objects, err := render(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestTheLabelThatPrometheusSelectsByReachesItsObjects(t *testing.T) {
	objects := renderWith(t, "production", "What Prometheus selects")
	for kind, labels := range map[string]map[string]string{
		"PodMonitor":     only[*monitoringv1.PodMonitor](t, objects, "PodMonitor").Labels,
		"PrometheusRule": only[*monitoringv1.PrometheusRule](t, objects, "PrometheusRule").Labels,
	} {
		if labels["release"] == "" || labels["app.kubernetes.io/name"] != "capstan" {
			t.Errorf("%s: got labels %v, want release in addition to the others", kind, labels)
		}
	}
}

// A check with other settings or files than the worker's would say nothing about the worker.
func TestTheCheckBeforeTheWorkerHasTheWorkersSettings(t *testing.T) {
	for _, overlay := range []string{"dev", "production"} {
		objects := renderWith(t, overlay, "A check before the worker")
		pod := only[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec
		checkPod(t, overlay, pod)
		if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 {
			t.Fatalf("%s: got %d containers and %d init containers, want one of each", overlay, len(pod.Containers), len(pod.InitContainers))
		}
		want := pod.Containers[0]
		want.Name, want.Command = "check", []string{"/capstan", "check"}
		want.Ports, want.StartupProbe, want.LivenessProbe, want.ReadinessProbe = nil, nil, nil, nil
		if got := pod.InitContainers[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: init container: got %+v, want the worker's with another command: %+v", overlay, got, want)
		}
		config := want.EnvFrom[0].ConfigMapRef.Name
		if !slices.ContainsFunc(all[corev1.ConfigMap](t, objects, "ConfigMap"), func(c corev1.ConfigMap) bool { return c.Name == config }) {
			t.Errorf("%s: init container: got settings of ConfigMap %s, want one that exists", overlay, config)
		}
	}
}

// Each alert has a heading in the runbook, and no heading is of an alert that no longer exists.
func TestEveryAlertHasItsHeadingInTheRunbook(t *testing.T) {
	var alerts, found []string
	for _, r := range rules(t) {
		alerts = append(alerts, r.Alert)
	}
	for _, heading := range headings(t, runbook) {
		if name, ok := strings.CutPrefix(heading, "### Capstan"); ok {
			found = append(found, "Capstan"+name)
		}
	}
	if !slices.Equal(found, alerts) {
		t.Errorf("%s: got headings\n%q, want one for each alert, in their order:\n%q", runbook, found, alerts)
	}
}

func TestEveryRelativeLinkInADocumentLeadsToAFileOrAHeading(t *testing.T) {
	n := 0
	err := filepath.WalkDir(root, func(document string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(document) != ".md" || !entry.Type().IsRegular() {
			return err
		}
		n++
		for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(withoutCode(read(t, document)), -1) {
			if !strings.Contains(link[1], "://") {
				checkLink(t, document, link[1])
			}
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("got %d documents, %v, want those of the README", n, err)
	}
}

func checkLink(t *testing.T, document, link string) {
	t.Helper()
	name, heading, _ := strings.Cut(link, "#")
	target := document
	if name != "" {
		target = filepath.Join(filepath.Dir(document), name)
	}
	if _, err := os.Stat(target); err != nil {
		t.Errorf("%s: link %s: %v", document, link, err)
		return
	}
	if heading == "" {
		return
	}
	var anchors []string
	for _, h := range headings(t, target) { // as GitHub links them
		text := strings.ToLower(strings.TrimLeft(h, "# "))
		anchors = append(anchors, strings.ReplaceAll(regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(text, ""), " ", "-"))
	}
	if !slices.Contains(anchors, heading) {
		t.Errorf("%s: link %s: got no such heading, want one of %q", document, link, anchors)
	}
}

// headings returns the headings of a document, without comments in blocks of code.
func headings(t *testing.T, document string) []string {
	t.Helper()
	return regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(withoutCode(read(t, document)), -1)
}

func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?\n *```").ReplaceAllString(text, "")
}

// CI runs the commands that the README tells people to run.
func TestCIRunsTheCommandsOfTheREADME(t *testing.T) {
	ci, text := read(t, filepath.Join(root, ".ci", "run")), read(t, filepath.Join(root, "README.md"))
	for _, command := range []string{"go test ./...", "go run ./cmd/capstan demo"} {
		if !strings.Contains(text, "\n"+command+"\n") || !regexp.MustCompile(`(?m)^run `+regexp.QuoteMeta(command)).MatchString(ci) {
			t.Errorf("got no command %q in README.md or in .ci/run, want it in both", command)
		}
	}
}
