package apiserver_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// The test also creates the pods, because an API server only warns about a Deployment whose pods break the namespace's
// profile. There is no kubelet to run them.
func TestAnAPIServerAcceptsTheDevOverlay(t *testing.T) {
	warnings := &warned{}
	c := start(t, warnings)
	for _, o := range devOverlay(t) {
		if err := c.Create(t.Context(), o); err != nil {
			t.Errorf("create %s %s: %v", o.GetKind(), o.GetName(), err)
		}
		if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" {
			continue
		}
		if err := c.Create(t.Context(), podOf(t, o)); err != nil {
			t.Errorf("create a pod of %s: %v", o.GetName(), err)
		}
	}
	for _, w := range warnings.texts {
		t.Errorf("warning: got %s, want none", w)
	}
}

// start runs an API server until the test ends.
func start(t *testing.T, warnings rest.WarningHandler) client.Client {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("SKIPPED: set KUBEBUILDER_ASSETS to the folder of kube-apiserver and etcd")
	}
	server := &envtest.Environment{}
	cfg, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	cfg.WarningHandler = warnings
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

// devOverlay returns the overlay as `kubectl kustomize` renders it.
func devOverlay(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	tree := t.TempDir()
	for _, part := range []string{"base", "overlays"} {
		if err := os.CopyFS(filepath.Join(tree, part), os.DirFS(filepath.Join("..", "..", part))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "overlays", "dev", "secrets", "api-key"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", filepath.Join(tree, "overlays", "dev")).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
}

// podOf returns the pod that a controller would create from the template.
func podOf(t *testing.T, o *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	var owner struct {
		Spec struct {
			Template             corev1.PodTemplateSpec         `json:"template"`
			VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &owner); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: owner.Spec.Template.ObjectMeta, Spec: owner.Spec.Template.Spec}
	for _, claim := range owner.Spec.VolumeClaimTemplates {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
		}})
	}
	pod.Namespace, pod.Name = o.GetNamespace(), o.GetName()+"-0"
	return pod
}

// warned collects the warnings of the API server.
type warned struct{ texts []string }

func (w *warned) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }
