package k8s_test

import (
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
	"k8s.io/apimachinery/pkg/util/intstr"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// kinds returns a new value to decode into, for each kind in use.
var kinds = map[metav1.TypeMeta]func() any{
	{APIVersion: "v1", Kind: "Namespace"}:                            func() any { return new(corev1.Namespace) },
	{APIVersion: "v1", Kind: "ServiceAccount"}:                       func() any { return new(corev1.ServiceAccount) },
	{APIVersion: "v1", Kind: "ConfigMap"}:                            func() any { return new(corev1.ConfigMap) },
	{APIVersion: "v1", Kind: "Secret"}:                               func() any { return new(corev1.Secret) },
	{APIVersion: "v1", Kind: "Service"}:                              func() any { return new(corev1.Service) },
	{APIVersion: "apps/v1", Kind: "Deployment"}:                      func() any { return new(appsv1.Deployment) },
	{APIVersion: "apps/v1", Kind: "StatefulSet"}:                     func() any { return new(appsv1.StatefulSet) },
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:           func() any { return new(policyv1.PodDisruptionBudget) },
	{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}:      func() any { return new(networkingv1.NetworkPolicy) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "PodMonitor"}:     func() any { return new(monitoringv1.PodMonitor) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule"}: func() any { return new(monitoringv1.PrometheusRule) },
	{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject"}:           func() any { return new(custom) },
	{APIVersion: "jetstream.nats.io/v1beta2", Kind: "Stream"}:        func() any { return new(custom) },
	{APIVersion: "jetstream.nats.io/v1beta2", Kind: "Consumer"}:      func() any { return new(custom) },
	{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret"}:   func() any { return new(custom) },
}

// An API server ignores or refuses a field that it does not know: both are too late.
func TestEveryObjectIsOneOfItsAPI(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		for _, o := range objects {
			newValue, ok := kinds[o.TypeMeta]
			if !ok {
				t.Errorf("%s %s: got an unknown kind, want one that is listed", o.APIVersion, o.Kind)
				continue
			}
			if err := decode(o.yaml, newValue()); err != nil {
				t.Errorf("%s %s: %v", o.Kind, o.name, err)
			}
			var m custom
			if err := decode(o.yaml, &m); err != nil {
				t.Fatal(err)
			}
			if got := m.at("metadata", "namespace"); got != "capstan" && o.Kind != "Namespace" {
				t.Errorf("namespace of %s %s: got %v, want capstan", o.Kind, o.name, got)
			}
		}
	})
}

// A namespace that enforces the profile only warns about a Deployment, and then its pods never start.
func TestPodsKeepTheRestrictedProfile(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		for name, pod := range pods(t, objects) {
			if got := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &metav1.ObjectMeta{}, &pod)); !got.Allowed {
				t.Errorf("pod %s: %s", name, got.ForbiddenDetail())
			}
			checkPod(t, name, pod)
		}
		namespace := only[corev1.Namespace](t, objects, "Namespace")
		for _, mode := range []string{"enforce", "audit", "warn"} {
			if got := namespace.Labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
				t.Errorf("%s: got %q, want restricted", mode, got)
			}
		}
	})
}

func pods(t *testing.T, objects []object) map[string]corev1.PodSpec {
	t.Helper()
	found := map[string]corev1.PodSpec{}
	for _, d := range all[appsv1.Deployment](t, objects, "Deployment") {
		found[d.Name] = d.Spec.Template.Spec
	}
	for _, s := range all[appsv1.StatefulSet](t, objects, "StatefulSet") {
		found[s.Name] = s.Spec.Template.Spec
	}
	return found
}

// checkPod checks what goes beyond the restricted profile.
func checkPod(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	isFalse := func(b *bool) bool { return b != nil && !*b }
	if !isFalse(pod.AutomountServiceAccountToken) || !isFalse(pod.EnableServiceLinks) {
		t.Errorf("pod %s: got a token of the API or links to services, want neither", name)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("pod %s: container %s: got a writable root file system, want a read-only one", name, c.Name)
		}
	}
}

func TestEverySelectorFindsTheWorkers(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		d := workerOf(t, objects).deployment
		network := only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
		selectors := map[string]*metav1.LabelSelector{
			"Deployment":          d.Spec.Selector,
			"PodDisruptionBudget": only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec.Selector,
			"NetworkPolicy":       &network.Spec.PodSelector,
		}
		for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
			selectors["spread over "+c.TopologyKey] = c.LabelSelector
		}
		for _, m := range all[*monitoringv1.PodMonitor](t, objects, "PodMonitor") {
			selectors["PodMonitor"] = &m.Spec.Selector
		}
		for name, s := range selectors {
			if !selects(t, s, d.Spec.Template.Labels) {
				t.Errorf("selector of %s: got %v, want one for %v", name, s.MatchLabels, d.Spec.Template.Labels)
			}
		}
		for _, s := range all[custom](t, objects, "ScaledObject") {
			if got := s.at("spec", "scaleTargetRef", "name"); got != d.Name {
				t.Errorf("target of the scaler: got %v, want %s", got, d.Name)
			}
		}
		if got, want := d.Spec.Template.Spec.ServiceAccountName, only[corev1.ServiceAccount](t, objects, "ServiceAccount").Name; got != want {
			t.Errorf("service account: got %s, want %s", got, want)
		}
	})
}

// selects reports whether a selector matches the labels of a pod. An empty one would match every pod, and does not count.
func selects(t *testing.T, s *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(pod))
}

// An outage of NATS or of the API makes workers not ready. It must not restart them.
func TestOnlyTheReadinessProbeAsksForMoreThanTheProcess(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		w := workerOf(t, objects)
		if len(w.container.Ports) != 1 || w.container.Lifecycle != nil {
			t.Fatalf("container: got ports %v and lifecycle %v, want one port and no lifecycle", w.container.Ports, w.container.Lifecycle)
		}
		port := w.container.Ports[0]
		if got, want := w.env["ADMIN_ADDR"], intstr.FromInt32(port.ContainerPort); got != ":"+want.String() {
			t.Errorf("ADMIN_ADDR: got %q, want all interfaces, port %v", got, &want)
		}
		asked := map[string][2]string{ // path and port
			"startup":   {w.container.StartupProbe.HTTPGet.Path, w.container.StartupProbe.HTTPGet.Port.String()},
			"liveness":  {w.container.LivenessProbe.HTTPGet.Path, w.container.LivenessProbe.HTTPGet.Port.String()},
			"readiness": {w.container.ReadinessProbe.HTTPGet.Path, w.container.ReadinessProbe.HTTPGet.Port.String()},
			"ingress":   {metricsPath, only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec.Ingress[0].Ports[0].Port.String()},
		}
		for _, m := range all[*monitoringv1.PodMonitor](t, objects, "PodMonitor") {
			asked["metrics"] = [2]string{m.Spec.PodMetricsEndpoints[0].Path, *m.Spec.PodMetricsEndpoints[0].Port}
		}
		paths := map[string]string{"startup": "/livez", "liveness": "/livez", "readiness": "/readyz", "ingress": metricsPath, "metrics": metricsPath}
		for name, got := range asked {
			if want := [2]string{paths[name], port.Name}; got != want {
				t.Errorf("%s: got path and port %v, want %v", name, got, want)
			}
		}
	})
}

// mounted are the keys of the secrets that a worker mounts.
var mounted = map[string][]string{
	"anchorbrowser":    {"api-key"},
	"nats-credentials": {"nats.creds"},
	"nats-tls":         {"ca.crt", "tls.crt", "tls.key"},
}

func TestEveryFileThatASettingNamesIsMounted(t *testing.T) {
	forEachOverlay(t, func(o overlay) {
		t, objects := o.t, o.objects
		w := workerOf(t, objects)
		var files []string
		for _, v := range w.pod.Volumes {
			if v.Secret.Optional != nil && *v.Secret.Optional {
				t.Errorf("secret %s: got optional, want a pod that waits for it", v.Name)
			}
			if got := *v.Secret.DefaultMode; got != 0o440 || w.pod.SecurityContext.FSGroup == nil {
				t.Errorf("secret %s: got mode %o, want 440 with a group", v.Name, got)
			}
			for _, m := range w.container.VolumeMounts {
				for _, key := range mounted[v.Secret.SecretName] {
					if v.Name == m.Name {
						files = append(files, path.Join(m.MountPath, key))
					}
				}
			}
		}
		for name, file := range w.env {
			if strings.HasSuffix(name, "_FILE") && file != "" && !slices.Contains(files, file) {
				t.Errorf("%s: got %s, want one of %v", name, file, files)
			}
		}
	})
}

func TestOverlaysWithSecretsHaveAllThatAreMounted(t *testing.T) {
	for _, overlay := range []string{"dev", "production", "base and external-secrets", "production and external-secrets", "production and nack"} {
		objects := overlays(t)[overlay]
		keys := map[string][]string{}
		for _, s := range all[corev1.Secret](t, objects, "Secret") {
			for key := range s.Data {
				keys[s.Name] = append(keys[s.Name], key)
			}
		}
		for _, s := range all[custom](t, objects, "ExternalSecret") {
			name, _ := s.at("spec", "target", "name").(string)
			for i := 0; s.at("spec", "data", string(rune('0'+i))) != nil; i++ {
				key, _ := s.at("spec", "data", string(rune('0'+i)), "secretKey").(string)
				keys[name] = append(keys[name], key)
			}
		}
		for _, v := range workerOf(t, objects).pod.Volumes {
			if got, want := keys[v.Secret.SecretName], mounted[v.Secret.SecretName]; !slices.Equal(got, want) {
				t.Errorf("%s: secret %s: got keys %v, want %v", overlay, v.Secret.SecretName, got, want)
			}
		}
	}
}
