package capstan_test

import (
	"os/exec"
	"strings"
	"testing"
)

// A program that uses the package gets none of what the worker needs.
func TestItNeedsOnlyTheNATSClient(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	needed := strings.Fields(string(out))
	if len(needed) < 5 {
		t.Fatalf("got %q, want all imports", needed)
	}
	for _, imported := range needed {
		allowed := imported == "github.com/capstan-worker/capstan"
		for _, prefix := range []string{"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", "github.com/klauspost/compress/", "golang.org/x/"} {
			allowed = allowed || strings.HasPrefix(imported, prefix)
		}
		if !allowed {
			t.Errorf("got %s among the imports, want only those of the NATS client", imported)
		}
	}
}
