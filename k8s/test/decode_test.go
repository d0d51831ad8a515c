package k8s_test

import (
	"errors"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds gives a new value to decode into, for each kind that is used.
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
	{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject"}:           func() any { return new(scaledObject) },
	{APIVersion: "jetstream.nats.io/v1beta2", Kind: "Stream"}:        func() any { return new(stream) },
	{APIVersion: "jetstream.nats.io/v1beta2", Kind: "Consumer"}:      func() any { return new(streamConsumer) },
	{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret"}:   func() any { return new(externalSecret) },
}

// An API server prunes what it does not know, or refuses it: both too late.
func TestEveryObjectIsOneOfItsAPI(t *testing.T) {
	for overlay, objects := range overlays(t) {
		for _, o := range objects {
			newValue, ok := kinds[o.TypeMeta]
			if !ok {
				t.Errorf("%s: %s %s: got no such kind, want one that is listed", overlay, o.APIVersion, o.Kind)
				continue
			}
			if err := decode(o.yaml, newValue()); err != nil {
				t.Errorf("%s: %s %s: %v", overlay, o.Kind, o.name, err)
			}
		}
	}
}

// decode reads an object as an API server with strict validation does: fields have their own spelling, none is
// unknown, and none stands twice.
func decode(text []byte, v any) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	broken, err := json.UnmarshalStrict(asJSON, v)
	return errors.Join(append(broken, err)...)
}

func TestDecodingIsAsStrictAsAnAPIServer(t *testing.T) {
	for text, want := range map[string]string{
		"spec: {minReadySeconds: 5}":                        "",
		"spec: {MINREADYSECONDS: 5}":                        `unknown field "spec.MINREADYSECONDS"`,
		"spec: {minReadySeconds: 5, minReadySeconds: 6}":    `key "minReadySeconds" already set`,
		"spec: {minReadySeconds: 5, minReadyMinutes: 6}":    `unknown field "spec.minReadyMinutes"`,
		`spec: {minReadySeconds: "5"}`:                      "cannot unmarshal string",
		"spec: {template: {spec: {TolerationS: [{}]}}}":     `unknown field "spec.template.spec.TolerationS"`,
		"spec: {selector: {matchLabels: {App: a, app: a}}}": "",
	} {
		err := decode([]byte(text), new(appsv1.Deployment))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestEverythingLivesInTheNamespace(t *testing.T) {
	for overlay, objects := range overlays(t) {
		for _, o := range objects {
			var m struct{ Metadata metav1.ObjectMeta }
			if err := yaml.Unmarshal(o.yaml, &m); err != nil {
				t.Fatal(err)
			}
			want := "capstan"
			if o.Kind == "Namespace" {
				want = ""
			}
			if got := m.Metadata.Namespace; got != want {
				t.Errorf("%s: namespace of %s %s: got %q, want %q", overlay, o.Kind, o.name, got, want)
			}
		}
	}
}
