package k8s_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root        = "../.." // of the repository
	readme      = "../README.md"
	runbook     = "../../docs/runbook.md"
	operations  = "../../docs/operations.md"
	permissions = "../../docs/permissions.md"
)

// object is one of the objects that `kubectl apply -k` sends.
type object struct {
	metav1.TypeMeta
	name string
	yaml []byte
}

// forEachOverlay runs a test for each overlay: those of the repository, one for each component that adds it to the base,
// and production with each component that it does not have.
func forEachOverlay(t *testing.T, test func(o overlay)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(overlays(t))) {
		t.Run(name, func(t *testing.T) { test(overlay{t, overlays(t)[name]}) })
	}
}

// overlay is a rendered overlay, and the test of it.
type overlay struct {
	t       *testing.T
	objects []object
}

func overlays(t *testing.T) map[string][]object {
	t.Helper()
	rendered, err := renderAll()
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

var renderAll = sync.OnceValues(func() (map[string][]object, error) {
	tree, err := os.MkdirTemp("", "capstan-k8s-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	if err := copyTree(tree); err != nil {
		return nil, err
	}
	dirs := map[string]string{} // below overlays, by the name of the test
	existing, err := os.ReadDir("../overlays")
	if err != nil {
		return nil, err
	}
	for _, e := range existing {
		dirs[e.Name()] = e.Name()
	}
	components, err := os.ReadDir("../components")
	if err != nil {
		return nil, err
	}
	for _, e := range components {
		name := e.Name()
		if dirs["base and "+name], err = newOverlay(tree, "base-"+name, "resources: [../../base]\ncomponents: [../../components/"+name+"]\n"); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"external-secrets", "nack", "nats-tls"} {
		if dirs["production and "+name], err = productionWith(tree, name); err != nil {
			return nil, err
		}
	}
	rendered := map[string][]object{}
	for name, dir := range dirs {
		if rendered[name], err = render(tree, dir); err != nil {
			return nil, err
		}
	}
	return rendered, nil
})

// copyTree copies k8s/ into a folder and fills in the secrets and the image of production. The digest is of no image.
func copyTree(tree string) error {
	var all []error
	for _, part := range []string{"base", "components", "overlays"} {
		all = append(all, os.CopyFS(filepath.Join(tree, part), os.DirFS(filepath.Join("..", part))))
	}
	for _, file := range []string{"dev/secrets/api-key", "production/secrets/api-key", "production/secrets/nats.creds"} {
		all = append(all, os.WriteFile(filepath.Join(tree, "overlays", file), []byte("secret"), 0o600))
	}
	all = append(all, setImage(tree, "digest: sha256:"+strings.Repeat("01234567", 8)))
	return errors.Join(all...)
}

// setImage does what `kustomize edit set image` does to the production overlay.
func setImage(tree, version string) error {
	text, err := os.ReadFile("../overlays/production/kustomization.yaml")
	if version != "" {
		text = append(text, "images:\n  - name: capstan\n    newName: registry.example/capstan\n    "+version+"\n"...)
	}
	return errors.Join(err, replaceFile(filepath.Join(tree, "overlays", "production", "kustomization.yaml"), text))
}

// replaceFile replaces a file. The copy that it replaces may be read-only.
func replaceFile(name string, text []byte) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}

// newOverlay writes an overlay and returns its name.
func newOverlay(tree, name, kustomization string) (string, error) {
	dir := filepath.Join(tree, "overlays", name)
	if !strings.Contains(kustomization, "namespace:") {
		kustomization = "namespace: capstan\n" + kustomization
	}
	return name, errors.Join(os.MkdirAll(dir, 0o755), replaceFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization)))
}

// productionWith writes a production overlay with one more component. With a store of secrets it generates none.
func productionWith(tree, component string) (string, error) {
	text, err := os.ReadFile(filepath.Join(tree, "overlays", "production", "kustomization.yaml"))
	if err != nil {
		return "", err
	}
	kustomization := strings.Replace(string(text), "\ncomponents:\n", "\ncomponents:\n  - ../../components/"+component+"\n", 1)
	if component == "external-secrets" {
		kustomization = regexp.MustCompile(`(?s)\nsecretGenerator:\n.*?\nreplacements:\n`).ReplaceAllString(kustomization, "\nreplacements:\n")
	}
	name := "production-" + component
	if err := os.CopyFS(filepath.Join(tree, "overlays", name), os.DirFS(filepath.Join(tree, "overlays", "production"))); err != nil {
		return "", err
	}
	return newOverlay(tree, name, kustomization)
}

func render(tree, overlay string) ([]object, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(tree, "overlays", overlay))
	if err != nil {
		return nil, err
	}
	var objects []object
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		objects = append(objects, object{TypeMeta: metav1.TypeMeta{APIVersion: r.GetApiVersion(), Kind: r.GetKind()}, name: r.GetName(), yaml: text})
	}
	return objects, nil
}

// decode reads an object as an API server with strict validation does: fields have the right case, none is unknown, and
// none occurs twice.
func decode(text []byte, v any) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	broken, err := json.UnmarshalStrict(asJSON, v)
	return errors.Join(append(broken, err)...)
}

// all returns the objects of a kind, decoded.
func all[T any](t *testing.T, objects []object, kind string) []T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if o.Kind != kind {
			continue
		}
		var v T
		if err := decode(o.yaml, &v); err != nil {
			t.Fatalf("%s %s: %v", kind, o.name, err)
		}
		found = append(found, v)
	}
	return found
}

// only returns the one object of a kind.
func only[T any](t *testing.T, objects []object, kind string) T {
	t.Helper()
	found := all[T](t, objects, kind)
	if len(found) != 1 {
		t.Fatalf("objects of kind %s: got %d, want 1", kind, len(found))
	}
	return found[0]
}

// custom is an object of a custom resource, whose Go types are not available as a light module.
type custom map[string]any

// at returns the value at a path, as in "spec", "triggers", "0"; nil if there is none.
func (c custom) at(path ...string) any {
	var v any = map[string]any(c)
	for _, name := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// number returns the number at a path.
func (c custom) number(t *testing.T, path ...string) int {
	t.Helper()
	switch n := c.at(path...).(type) {
	case float64:
		return int(n)
	case int64:
		return int(n)
	default:
		t.Fatalf("%v: got %v, want a number", path, n)
		return 0
	}
}

// worker is what an overlay says about the worker.
type worker struct {
	deployment appsv1.Deployment
	pod        corev1.PodSpec
	container  corev1.Container
	env        map[string]string // of the ConfigMap and of the container
}

func workerOf(t *testing.T, objects []object) worker {
	t.Helper()
	w := worker{deployment: only[appsv1.Deployment](t, objects, "Deployment"), env: map[string]string{}}
	w.pod = w.deployment.Spec.Template.Spec
	if len(w.pod.Containers) != 1 || len(w.pod.InitContainers) != 0 {
		t.Fatalf("containers: got %d and %d init containers, want 1 and 0", len(w.pod.Containers), len(w.pod.InitContainers))
	}
	w.container = w.pod.Containers[0]
	for _, from := range w.container.EnvFrom {
		for _, c := range all[corev1.ConfigMap](t, objects, "ConfigMap") {
			if c.Name == from.ConfigMapRef.Name {
				maps.Copy(w.env, c.Data)
			}
		}
	}
	for _, e := range w.container.Env {
		w.env[e.Name] = e.Value
	}
	return w
}

// setting returns the overlay's value of a setting, or the worker's default.
func (w worker) setting(t *testing.T, name string) string {
	t.Helper()
	if value, ok := w.env[name]; ok {
		return value
	}
	value, ok := defaults(t)[name]
	if !ok {
		t.Fatalf("setting %s: got none, want one of the worker's", name)
	}
	return value
}

func (w worker) number(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(w.setting(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func (w worker) duration(t *testing.T, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(w.setting(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// help is the worker's help.
var help = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("go", "run", "./cmd/worker", "-help")
	cmd.Dir = filepath.FromSlash(root)
	return cmd.Output()
})

// defaults returns the worker's settings with their defaults, which may be empty.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	text, err := help()
	if err != nil {
		t.Fatalf("worker -help: %v", err)
	}
	_, table, ok := strings.Cut(string(text), "\nVARIABLE")
	if !ok {
		t.Fatalf("worker -help: got %q, want a table", text)
	}
	header, rows, _ := strings.Cut(table, "\n")
	begin := len("VARIABLE") + strings.Index(header, "DEFAULT")
	end := len("VARIABLE") + strings.Index(header, "MEANING")
	found := map[string]string{}
	for row := range strings.Lines(rows) {
		name, _, _ := strings.Cut(row, " ")
		found[name] = strings.TrimSpace(row[begin:end])
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
