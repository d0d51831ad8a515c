package k8s_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
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
