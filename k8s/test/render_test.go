package k8s_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// object is one of those that `kubectl apply -k` sends.
type object struct {
	metav1.TypeMeta
	name string
	yaml []byte
}

// overlays returns all overlays, rendered: those that are there, for each component one that adds it to the
// base, and production with each of those that it comes without.
func overlays(t *testing.T) map[string][]object {
	t.Helper()
	tree := copyTree(t)
	rendered := map[string][]object{}
	for _, name := range entries(t, filepath.Join(tree, "overlays")) {
		rendered[name] = render(t, filepath.Join(tree, "overlays", name))
	}
	for _, name := range entries(t, filepath.Join(tree, "components")) {
		rendered["base and "+name] = render(t, overlayOf(t, tree, name))
	}
	for _, name := range []string{"external-secrets", "nack", "nats-tls"} {
		rendered["production and "+name] = render(t, productionWith(t, tree, name))
	}
	return rendered
}

// digest is of no image.
const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// copyTree returns a copy of k8s/ in which the secrets and production's image are filled in.
func copyTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	for _, part := range []string{"base", "components", "overlays"} {
		if err := os.CopyFS(filepath.Join(tree, part), os.DirFS(filepath.Join("..", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"dev/secrets/api-key", "production/secrets/api-key", "production/secrets/nats.creds"} {
		write(t, filepath.Join(tree, "overlays", file), "secret")
	}
	setImage(t, tree, "digest: "+digest)
	return tree
}

// setImage does what kustomize edit set image does to the production overlay.
func setImage(t *testing.T, tree, version string) {
	t.Helper()
	text, err := os.ReadFile("../overlays/production/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if version != "" {
		text = append(text, "images:\n  - name: capstan\n    newName: registry.example/capstan\n    "+version+"\n"...)
	}
	write(t, filepath.Join(tree, "overlays", "production", "kustomization.yaml"), string(text))
}

// overlayOf writes an overlay that adds the component to the base.
func overlayOf(t *testing.T, tree, component string) string {
	t.Helper()
	dir := filepath.Join(tree, "overlays", "with-"+component)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"),
		"namespace: capstan\nresources: [../../base]\ncomponents: [../../components/"+component+"]\n")
	return dir
}

// productionWith writes a production overlay as somebody would change it who adds the component to it. A store in
// place of files means that the overlay makes no secrets.
func productionWith(t *testing.T, tree, component string) string {
	t.Helper()
	text := read(t, filepath.Join(tree, "overlays", "production", "kustomization.yaml"))
	text = strings.Replace(text, "\ncomponents:\n", "\ncomponents:\n  - ../../components/"+component+"\n", 1)
	if component == "external-secrets" {
		text = regexp.MustCompile(`(?s)\nsecretGenerator:\n.*?\nreplacements:\n`).ReplaceAllString(text, "\nreplacements:\n")
	}
	dir := filepath.Join(tree, "overlays", "production-"+component)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(tree, "overlays", "production"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "kustomization.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), text)
	return dir
}

func render(t *testing.T, dir string) []object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("render %s: %v", filepath.Base(dir), err)
	}
	var objects []object
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{
			TypeMeta: metav1.TypeMeta{APIVersion: r.GetApiVersion(), Kind: r.GetKind()}, name: r.GetName(), yaml: text,
		})
	}
	return objects
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

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
