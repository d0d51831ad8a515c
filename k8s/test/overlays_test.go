package k8s_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func TestEveryOverlayKeepsItsPromises(t *testing.T) {
	promises := map[string]func(*testing.T, overlay){
		"pods keep the restricted profile":                 checkProfile,
		"selectors find the workers":                       checkSelectors,
		"only the readiness probe asks for more than life": checkProbes,
		"files that settings name are mounted":             checkFiles,
		"a worker is not killed while it drains":           checkDrain,
		"Go knows the memory limit":                        checkMemory,
		"the fleet can use its size":                       checkFleet,
		"the worker reaches its NATS":                      checkNATS,
		"the scaler reads the lag of the worker":           checkScaler,
	}
	for name, o := range overlays(t) {
		for promise, check := range promises {
			t.Run(name+"/"+promise, func(t *testing.T) { check(t, o) })
		}
	}
}

// workloads returns the pods of the Deployments and of the dev overlay's StatefulSet.
func workloads(o overlay) map[string]corev1.PodTemplateSpec {
	found := map[string]corev1.PodTemplateSpec{}
	for _, d := range append(all[appsv1.Deployment](o), all[appsv1.Deployment](overlay{objects: o.dashboard})...) {
		found[d.Name] = d.Spec.Template
	}
	for _, s := range all[appsv1.StatefulSet](o) {
		found[s.Name] = s.Spec.Template
	}
	return found
}

// A namespace that enforces the profile only warns about a Deployment, and then its pods never start.
func checkProfile(t *testing.T, o overlay) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	isFalse := func(b *bool) bool { return b != nil && !*b }
	for name, w := range workloads(o) {
		if got := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &metav1.ObjectMeta{}, &w.Spec)); !got.Allowed {
			t.Errorf("pod %s: %s", name, got.ForbiddenDetail())
		}
		if !isFalse(w.Spec.AutomountServiceAccountToken) || !isFalse(w.Spec.EnableServiceLinks) {
			t.Errorf("pod %s: got a token of the API or links to services, want neither", name)
		}
		for _, c := range w.Spec.Containers {
			if readOnly := c.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
				t.Errorf("container %s: got a writable root file system, want a read-only one", c.Name)
			}
		}
	}
	namespace := only[corev1.Namespace](t, o)
	for _, mode := range []string{"enforce", "audit", "warn"} {
		if got := namespace.Labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
			t.Errorf("%s: got %q, want restricted", mode, got)
		}
	}
}

func checkSelectors(t *testing.T, o overlay) {
	t.Helper()
	selectors := []*metav1.LabelSelector{
		o.deployment.Spec.Selector, only[policyv1.PodDisruptionBudget](t, o).Spec.Selector, &only[networkingv1.NetworkPolicy](t, o).Spec.PodSelector,
	}
	for _, c := range o.pod.TopologySpreadConstraints {
		selectors = append(selectors, c.LabelSelector)
	}
	for _, m := range all[monitoringv1.PodMonitor](o) {
		selectors = append(selectors, &m.Spec.Selector)
	}
	for _, s := range selectors { // an empty one would match every pod
		if len(s.MatchLabels) == 0 || !labels.SelectorFromSet(s.MatchLabels).Matches(labels.Set(o.deployment.Spec.Template.Labels)) {
			t.Errorf("selector: got %v, want one for %v", s.MatchLabels, o.deployment.Spec.Template.Labels)
		}
	}
	if got, want := o.pod.ServiceAccountName, only[corev1.ServiceAccount](t, o).Name; got != want {
		t.Errorf("service account: got %s, want %s", got, want)
	}
}

// An outage of NATS or of the API makes workers not ready. It must not restart them.
func checkProbes(t *testing.T, o overlay) {
	t.Helper()
	port := o.container.Ports[0]
	asked := func(p *corev1.Probe) string { return p.HTTPGet.Port.String() + p.HTTPGet.Path }
	got := map[string]string{
		"startup": asked(o.container.StartupProbe), "liveness": asked(o.container.LivenessProbe), "readiness": asked(o.container.ReadinessProbe),
		"ingress": only[networkingv1.NetworkPolicy](t, o).Spec.Ingress[0].Ports[0].Port.String(), "address": o.env["ADMIN_ADDR"],
	}
	want := map[string]string{
		"startup": port.Name + "/livez", "liveness": port.Name + "/livez", "readiness": port.Name + "/readyz",
		"ingress": port.Name, "address": fmt.Sprintf(":%d", port.ContainerPort),
	}
	for _, m := range all[monitoringv1.PodMonitor](o) {
		got["metrics"], want["metrics"] = *m.Spec.PodMetricsEndpoints[0].Port+m.Spec.PodMetricsEndpoints[0].Path, port.Name+metricsPath
	}
	if !maps.Equal(got, want) {
		t.Errorf("ports and paths: got %v, want %v", got, want)
	}
}

// Each file comes from a secret that the overlay creates, or cert-manager.
func checkFiles(t *testing.T, o overlay) {
	t.Helper()
	keys := secretKeys(o)
	var files []string
	for _, v := range o.pod.Volumes {
		if len(keys[v.Secret.SecretName]) == 0 {
			t.Errorf("secret %s: got none, want one", v.Secret.SecretName)
		}
		if v.Secret.SecretName != v.Name {
			t.Errorf("secret %s: got a name with a hash, want %s, so that a changed file needs no restart", v.Secret.SecretName, v.Name)
		}
		if v.Secret.Optional != nil || *v.Secret.DefaultMode != 0o440 || o.pod.SecurityContext.FSGroup == nil {
			t.Errorf("secret %s: got optional or mode %o, want a pod that waits for it, and a group that may read it", v.Name, *v.Secret.DefaultMode)
		}
		for _, m := range o.container.VolumeMounts {
			for _, key := range keys[v.Secret.SecretName] {
				if m.Name == v.Name {
					files = append(files, path.Join(m.MountPath, key))
				}
			}
		}
	}
	for name, file := range o.env {
		if strings.HasSuffix(name, "_FILE") && file != "" && !slices.Contains(files, file) {
			t.Errorf("%s: got %s, want one of %v", name, file, files)
		}
	}
}

// secretKeys returns the keys of each secret. An overlay with a store of secrets generates none.
func secretKeys(o overlay) map[string][]string {
	keys := map[string][]string{"nats-tls": {"ca.crt", "tls.crt", "tls.key"}}
	stored := all[custom[externalSecret]](o)
	for _, s := range stored {
		for _, d := range s.Spec.Data {
			keys[s.Spec.Target.Name] = append(keys[s.Spec.Target.Name], d.Key)
		}
	}
	for _, s := range all[corev1.Secret](o) {
		if len(stored) == 0 {
			keys[s.Name] = slices.Collect(maps.Keys(s.Data))
		}
	}
	return keys
}
