package k8s_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

const (
	root   = "../.." // of the repository
	readme = "../README.md"
)

func TestTheNumbersOfTheReadmeAreThoseOfProduction(t *testing.T) {
	o := production(t, "", "")
	scaled := only[custom[scaling]](t, o).Spec
	down := scaled.Advanced.Autoscaler.Behavior.ScaleDown
	c, limits, requests := o.container, o.container.Resources.Limits, o.container.Resources.Requests
	budget, _, _ := strings.Cut(only[policyv1.PodDisruptionBudget](t, o).Spec.MaxUnavailable.String(), "%")
	tries := func(p *corev1.Probe) string { return fmt.Sprintf("%d × %d s", p.FailureThreshold, p.PeriodSeconds) }
	for _, row := range []string{
		fmt.Sprintf("`MAX_IN_FLIGHT` | %s", o.env["MAX_IN_FLIGHT"]), fmt.Sprintf("`MAX_IN_FLIGHT_TOTAL` | %s", o.env["MAX_IN_FLIGHT_TOTAL"]),
		fmt.Sprintf("`maxReplicaCount` | %d", scaled.MaxReplicas), fmt.Sprintf("tasks per worker | %d", scaled.tasksPerWorker(t)),
		fmt.Sprintf("`DRAIN_TIMEOUT` | %s", o.env["DRAIN_TIMEOUT"]), fmt.Sprintf("`terminationGracePeriodSeconds` | %d", *o.pod.TerminationGracePeriodSeconds),
		fmt.Sprintf("memory limit | %s", limits.Memory()), fmt.Sprintf("memory request | %s", requests.Memory()),
		fmt.Sprintf("`GOMEMLIMIT` | %s", o.env["GOMEMLIMIT"]), fmt.Sprintf("CPU | %s, limit %s", requests.Cpu(), limits.Cpu()),
		"startup probe | " + tries(c.StartupProbe), "liveness probe | " + tries(c.LivenessProbe), "readiness probe | " + tries(c.ReadinessProbe),
		fmt.Sprintf("disruption budget | %s %%", budget),
		fmt.Sprintf("scale-down | %d %% a minute, after %d min", down.Policies[0].Value, *down.StabilizationWindowSeconds/60),
	} {
		if !strings.Contains(read(t, readme), "\n| "+row+" |") {
			t.Errorf("%s: got no row %q, want it", readme, row)
		}
	}
}

// People read a systemd unit in one document and a manifest in another. With the documented permissions, a worker with another
// inbox prefix gets no answers from NATS.
func TestTheDocumentsForOtherInstallationsFitProduction(t *testing.T) {
	o := production(t, "", "")
	grace := fmt.Sprintf("TimeoutStopSec=%d", *o.pod.TerminationGracePeriodSeconds)
	inbox := fmt.Sprintf(`subscribe: ["%s.>"`, o.env["NATS_INBOX_PREFIX"])
	for want, file := range map[string]string{grace: "operations.md", inbox: "permissions.md"} {
		if !strings.Contains(read(t, filepath.Join(root, "docs", file)), want) {
			t.Errorf("%s: got no %s, want it as in production", file, want)
		}
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

// kube-prometheus-stack silently ignores an object without the label that the README adds.
func TestTheLabelThatPrometheusSelectsByReachesItsObjects(t *testing.T) {
	_, section, _ := strings.Cut(read(t, readme), "# What Prometheus selects\n")
	_, snippet, _ := strings.Cut(section, "\n```yaml\n")
	snippet, _, _ = strings.Cut(snippet, "```")
	o := production(t, "", snippet)
	for _, labels := range []map[string]string{only[monitoringv1.PodMonitor](t, o).Labels, only[monitoringv1.PrometheusRule](t, o).Labels} {
		if labels["release"] == "" || labels["app.kubernetes.io/name"] != "capstan" {
			t.Errorf("got labels %v, want release in addition to the others", labels)
		}
	}
}

// Each alert has a heading in the runbook, and no heading is of an alert that no longer exists.
func TestEveryAlertHasItsHeadingInTheRunbook(t *testing.T) {
	var alerts []string
	for _, r := range rules(t) {
		alerts = append(alerts, "### "+r.Alert)
	}
	if found := regexp.MustCompile(`(?m)^### Capstan.*$`).FindAllString(read(t, root+"/docs/runbook.md"), -1); !slices.Equal(found, alerts) {
		t.Errorf("runbook.md: got headings\n%q, want one for each alert, in their order:\n%q", found, alerts)
	}
}

func TestEveryRelativeLinkInADocumentLeadsToAFileOrAHeading(t *testing.T) {
	relative := regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]*))?\)`)
	links := 0
	err := filepath.WalkDir(root, func(document string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "node_modules" { // other people's
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(document) != ".md" || !entry.Type().IsRegular() {
			return err
		}
		for _, link := range relative.FindAllStringSubmatch(withoutCode(t, document), -1) {
			links++
			target := document
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(document), link[1])
			}
			if _, err := os.Stat(target); err != nil || link[2] != "" && !slices.Contains(anchors(t, target), link[2]) {
				t.Errorf("%s: link %s: got %v or no such heading, want both", document, link[0], err)
			}
		}
		return nil
	})
	if err != nil || links < 50 {
		t.Errorf("got %d links, %v, want those of all documents", links, err)
	}
}

// anchors returns the headings of a document as GitHub links them.
func anchors(t *testing.T, document string) []string {
	t.Helper()
	var found []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(t, document), -1) {
		text := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

// withoutCode returns a document without its blocks of code, which have comments that look like headings.
func withoutCode(t *testing.T, document string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^ *```.*?\n *```").ReplaceAllString(read(t, document), "")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
