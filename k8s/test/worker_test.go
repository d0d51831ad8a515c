package k8s_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// root is the repository.
const root = "../.."

// worker is what an overlay says of the worker.
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
		t.Fatalf("containers: got %d and %d that come first, want 1 and 0", len(w.pod.Containers), len(w.pod.InitContainers))
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

// setting is what the worker reads: the overlay's value, or the default.
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

// help is what the worker prints of its settings.
var help = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("go", "run", "./cmd/worker", "-help")
	cmd.Dir = filepath.FromSlash(root)
	return cmd.Output()
})

// defaults returns the worker's settings with their defaults, empty where there is none.
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
