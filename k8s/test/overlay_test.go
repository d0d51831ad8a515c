package k8s_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// image is what `kustomize edit set image` adds to the production overlay. No image has this digest.
const image = "images: [{name: capstan, newName: registry.example/capstan, digest: " +
	"'sha256:0123456701234567012345670123456701234567012345670123456701234567'}]\n"

// overlay is what `kubectl apply -k` sends.
type overlay struct {
	objects   []any // each a pointer to a type of its API
	dashboard []any // those of the component dashboard, which is beside the worker

	// What the overlay says about the worker.
	deployment *appsv1.Deployment
	pod        corev1.PodSpec
	container  corev1.Container
	env        map[string]string // of the ConfigMap and of the container
}

// overlays returns the overlays of the repository, and production with each component that it does not have.
func overlays(t *testing.T) map[string]overlay {
	t.Helper()
	dev, err := render("dev", "", "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]overlay{"dev": dev, "production": production(t, "", "")}
	components, err := os.ReadDir("../components")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range components {
		if !strings.Contains(read(t, "../overlays/production/kustomization.yaml"), "/"+c.Name()+"\n") {
			found["production and "+c.Name()] = production(t, c.Name(), "")
		}
	}
	return found
}

// production renders production with an image. For component and more see render.
func production(t *testing.T, component, more string) overlay {
	t.Helper()
	o, err := render("production", component, image+more)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// render renders an overlay with one more component, if it is not empty, and with more lines at the end of its
// kustomization.yaml.
func render(name, component, more string) (overlay, error) {
	tree := filesys.MakeFsInMemory()
	err := fs.WalkDir(os.DirFS(".."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join("..", file))
		return errors.Join(err, tree.WriteFile(file, text))
	})
	for _, file := range []string{"dev/secrets/api-key", "production/secrets/api-key", "production/secrets/nats.creds"} {
		err = errors.Join(err, tree.WriteFile("overlays/"+file, []byte("secret")))
	}
	dir := "overlays/" + name
	text, readErr := tree.ReadFile(dir + "/kustomization.yaml")
	kustomization := string(text) + more
	if component != "" {
		kustomization = strings.Replace(kustomization, "\ncomponents:\n", "\ncomponents:\n  - ../../components/"+component+"\n", 1)
	}
	if err := errors.Join(err, readErr, tree.WriteFile(dir+"/kustomization.yaml", []byte(kustomization))); err != nil {
		return overlay{}, err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree, dir)
	if err != nil {
		return overlay{}, fmt.Errorf("%s with %s: %w", name, component, err)
	}
	return newOverlay(resources.Resources())
}

func newOverlay(resources []*resource.Resource) (overlay, error) {
	o := overlay{env: map[string]string{}}
	for _, r := range resources {
		decoded, err := decode(r)
		if err != nil {
			return o, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
		if r.GetLabels()["app.kubernetes.io/component"] == "dashboard" {
			o.dashboard = append(o.dashboard, decoded)
			continue
		}
		o.objects = append(o.objects, decoded)
	}
	deployments := all[appsv1.Deployment](o)
	if len(deployments) != 1 || len(deployments[0].Spec.Template.Spec.Containers) != 1 {
		return o, fmt.Errorf("got %d Deployments, want the worker's, with one container", len(deployments))
	}
	o.deployment = deployments[0]
	o.pod = o.deployment.Spec.Template.Spec
	o.container = o.pod.Containers[0]
	for _, from := range o.container.EnvFrom {
		for _, c := range all[corev1.ConfigMap](o) {
			if c.Name == from.ConfigMapRef.Name {
				maps.Copy(o.env, c.Data)
			}
		}
	}
	for _, e := range o.container.Env {
		o.env[e.Name] = e.Value
	}
	return o, nil
}

// decode reads an object as an API server with strict validation does: fields have the right case, and none is unknown.
// Otherwise the server ignores or refuses a field, and both are too late.
func decode(r *resource.Resource) (any, error) {
	create, ok := kinds[r.GetApiVersion()+" "+r.GetKind()]
	if !ok {
		return nil, fmt.Errorf("got the unknown kind %s %s, want one that is listed", r.GetApiVersion(), r.GetKind())
	}
	if got := r.GetNamespace(); got != "capstan" && r.GetKind() != "Namespace" {
		return nil, fmt.Errorf("got namespace %q, want capstan", got)
	}
	text, err := r.MarshalJSON()
	if err != nil {
		return nil, err
	}
	decoded := create()
	broken, err := json.UnmarshalStrict(text, decoded)
	return decoded, errors.Join(append(broken, err)...)
}

// kinds returns a new value to decode into, for each kind in use.
var kinds = map[string]func() any{
	"v1 Namespace":                            func() any { return new(corev1.Namespace) },
	"v1 ServiceAccount":                       func() any { return new(corev1.ServiceAccount) },
	"v1 ConfigMap":                            func() any { return new(corev1.ConfigMap) },
	"v1 Secret":                               func() any { return new(corev1.Secret) },
	"v1 Service":                              func() any { return new(corev1.Service) },
	"apps/v1 Deployment":                      func() any { return new(appsv1.Deployment) },
	"apps/v1 StatefulSet":                     func() any { return new(appsv1.StatefulSet) },
	"policy/v1 PodDisruptionBudget":           func() any { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return new(networkingv1.NetworkPolicy) },
	"monitoring.coreos.com/v1 PodMonitor":     func() any { return new(monitoringv1.PodMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoringv1.PrometheusRule) },
	"keda.sh/v1alpha1 ScaledObject":           func() any { return new(custom[scaling]) },
	"jetstream.nats.io/v1beta2 Stream":        func() any { return new(custom[nack]) },
	"jetstream.nats.io/v1beta2 Consumer":      func() any { return new(custom[nack]) },
	"external-secrets.io/v1 ExternalSecret":   func() any { return new(custom[externalSecret]) },
}

// custom is an object of a custom resource, whose Go types are not available as a light module. Its specification has the
// fields that are in use.
type custom[S any] struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              S `json:"spec"`
}

// scaling is KEDA's (apis/keda/v1alpha1/scaledobject_types.go).
type scaling struct {
	Target struct {
		Name string `json:"name"`
	} `json:"scaleTargetRef"`
	MinReplicas     int            `json:"minReplicaCount"`
	MaxReplicas     int            `json:"maxReplicaCount"`
	PollingInterval int            `json:"pollingInterval"`
	Cooldown        int            `json:"cooldownPeriod"`
	InitialCooldown int            `json:"initialCooldownPeriod"`
	Fallback        map[string]any `json:"fallback"`
	Advanced        struct {
		Autoscaler struct {
			Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
		} `json:"horizontalPodAutoscalerConfig"`
	} `json:"advanced"`
	Triggers []struct {
		Type     string            `json:"type"`
		Metadata map[string]string `json:"metadata"`
	} `json:"triggers"`
}

// nack is the specification of a stream or a consumer.
type nack map[string]any

// externalSecret is External Secrets' (apis/externalsecrets/v1/externalsecret_types.go).
type externalSecret struct {
	RefreshInterval string            `json:"refreshInterval"`
	Store           map[string]string `json:"secretStoreRef"`
	Target          struct {
		Name string `json:"name"`
	} `json:"target"`
	Data []struct {
		Key    string            `json:"secretKey"`
		Remote map[string]string `json:"remoteRef"`
	} `json:"data"`
}

// all returns the objects of a type.
func all[T any](o overlay) []*T {
	var found []*T
	for _, v := range o.objects {
		if v, ok := v.(*T); ok {
			found = append(found, v)
		}
	}
	return found
}

// only returns the one object of a type.
func only[T any](t *testing.T, o overlay) *T {
	t.Helper()
	found := all[T](o)
	if len(found) != 1 {
		t.Fatalf("objects of type %T: got %d, want 1", *new(T), len(found))
	}
	return found[0]
}
