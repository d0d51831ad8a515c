package k8s_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestEverySelectorFindsTheWorkers(t *testing.T) {
	for overlay, objects := range overlays(t) {
		d := workerOf(t, objects).deployment
		policy := only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
		selectors := map[string]*metav1.LabelSelector{
			"Deployment":          d.Spec.Selector,
			"PodDisruptionBudget": only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec.Selector,
			"NetworkPolicy":       &policy.Spec.PodSelector,
		}
		for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
			selectors["spread over "+c.TopologyKey] = c.LabelSelector
		}
		for _, m := range all[*monitoringv1.PodMonitor](t, objects, "PodMonitor") {
			selectors["PodMonitor"] = &m.Spec.Selector
		}
		for name, s := range selectors {
			if !selects(t, s, d.Spec.Template.Labels) {
				t.Errorf("%s: selector of %s: got %v, want one for %v", overlay, name, s.MatchLabels, d.Spec.Template.Labels)
			}
		}
		for _, s := range all[scaledObject](t, objects, "ScaledObject") {
			if got := s.Spec.ScaleTargetRef.Name; got != d.Name {
				t.Errorf("%s: scaled: got %s, want %s", overlay, got, d.Name)
			}
		}
		if got, want := d.Spec.Template.Spec.ServiceAccountName, only[corev1.ServiceAccount](t, objects, "ServiceAccount").Name; got != want {
			t.Errorf("%s: service account: got %s, want %s", overlay, got, want)
		}
	}
}

// selects is false of a selector that is empty: it would find everything.
func selects(t *testing.T, s *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(pod))
}

func TestEveryPortIsTheOneThatTheWorkerListensOn(t *testing.T) {
	for overlay, objects := range overlays(t) {
		w := workerOf(t, objects)
		if len(w.container.Ports) != 1 {
			t.Fatalf("%s: ports: got %d, want 1", overlay, len(w.container.Ports))
		}
		port := w.container.Ports[0]
		if got, want := w.env["ADMIN_ADDR"], intstr.FromInt32(port.ContainerPort); got != ":"+want.String() {
			t.Errorf("%s: ADMIN_ADDR: got %q, want all interfaces, port %v", overlay, got, &want)
		}
		named := []string{
			w.container.StartupProbe.HTTPGet.Port.String(),
			w.container.LivenessProbe.HTTPGet.Port.String(),
			w.container.ReadinessProbe.HTTPGet.Port.String(),
			only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec.Ingress[0].Ports[0].Port.String(),
		}
		for _, m := range all[*monitoringv1.PodMonitor](t, objects, "PodMonitor") {
			named = append(named, *m.Spec.PodMetricsEndpoints[0].Port)
			if got := m.Spec.PodMetricsEndpoints[0].Path; got != metricsPath {
				t.Errorf("%s: path: got %s, want %s", overlay, got, metricsPath)
			}
		}
		for _, got := range named {
			if got != port.Name {
				t.Errorf("%s: port: got %s, want %s", overlay, got, port.Name)
			}
		}
	}
}

// files are the keys of the secrets that a worker mounts.
var files = map[string][]string{
	"anchorbrowser":    {"api-key"},
	"nats-credentials": {"nats.creds"},
	"nats-tls":         {"ca.crt", "tls.crt", "tls.key"},
}

func TestEveryFileThatASettingNamesIsMounted(t *testing.T) {
	for overlay, objects := range overlays(t) {
		w := workerOf(t, objects)
		mounted := mountedFiles(w)
		for name, file := range w.env {
			if strings.HasSuffix(name, "_FILE") && file != "" && !slices.Contains(mounted, file) {
				t.Errorf("%s: %s: got %s, want one of %v", overlay, name, file, mounted)
			}
		}
		for _, v := range w.pod.Volumes {
			if v.Secret.Optional != nil && *v.Secret.Optional {
				t.Errorf("%s: secret %s: got optional, want a pod that waits for it", overlay, v.Name)
			}
			if got := *v.Secret.DefaultMode; got != 0o440 || w.pod.SecurityContext.FSGroup == nil {
				t.Errorf("%s: secret %s: got mode %o, want 440 with a group", overlay, v.Name, got)
			}
		}
	}
}

func mountedFiles(w worker) []string {
	var found []string
	for _, m := range w.container.VolumeMounts {
		for _, v := range w.pod.Volumes {
			if v.Name == m.Name {
				for _, key := range files[v.Secret.SecretName] {
					found = append(found, path.Join(m.MountPath, key))
				}
			}
		}
	}
	return found
}

func TestWhoeverBringsSecretsBringsThoseThatAreMounted(t *testing.T) {
	rendered := overlays(t)
	for _, overlay := range []string{"dev", "production", "base and external-secrets", "production and external-secrets", "production and nack"} {
		objects := rendered[overlay]
		brought := map[string][]string{}
		for _, s := range all[corev1.Secret](t, objects, "Secret") {
			for key := range s.Data {
				brought[s.Name] = append(brought[s.Name], key)
			}
		}
		for _, s := range all[externalSecret](t, objects, "ExternalSecret") {
			for _, d := range s.Spec.Data {
				brought[s.Spec.Target.Name] = append(brought[s.Spec.Target.Name], d.SecretKey)
			}
		}
		for _, v := range workerOf(t, objects).pod.Volumes {
			if got, want := brought[v.Secret.SecretName], files[v.Secret.SecretName]; !slices.Equal(got, want) {
				t.Errorf("%s: secret %s: got keys %v, want %v", overlay, v.Secret.SecretName, got, want)
			}
		}
	}
}

func TestProductionRunsAnImageThatCannotBeMoved(t *testing.T) {
	image := workerOf(t, overlays(t)["production"]).container.Image
	if _, digest, ok := strings.Cut(image, "@sha256:"); !ok || len(digest) != 64 {
		t.Errorf("image: got %s, want one by digest", image)
	}
}

func TestTheImageHasTheUserOfThePod(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	pod := workerOf(t, overlays(t)["dev"]).pod.SecurityContext
	if want := fmt.Sprintf("\nUSER %d:%d\n", *pod.RunAsUser, *pod.RunAsGroup); !strings.Contains(string(text), want) {
		t.Errorf("Dockerfile: got no line %q, want one", want)
	}
}
