package app_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What tests and the demo need would make the worker larger, and easier to attack.
func TestWorkerHoldsNothingOfTestsAndDemo(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../cmd/worker").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := strings.Fields(string(out))
	if len(imports) < 100 {
		t.Fatalf("got %d imports, want all of them", len(imports))
	}
	for _, imported := range imports {
		for _, unwanted := range []string{"testing", "httptest", "nats-server", "natsserver", "anchortest"} {
			if imported == unwanted || strings.Contains(imported, "/"+unwanted) {
				t.Errorf("got %s among the worker's imports", imported)
			}
		}
	}
}
