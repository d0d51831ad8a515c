package app_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Code of tests and of the demo would make the worker larger and easier to attack. In the image, the tool without the demo
// is also the worker.
func TestTheWorkerContainsNothingOfTestsAndDemo(t *testing.T) {
	for _, program := range [][]string{{"../../cmd/worker"}, {"-tags=nodemo", "../../cmd/capstan"}} {
		t.Run(strings.Join(program, " "), func(t *testing.T) { importsNothingOfTests(t, program) })
	}
}

func importsNothingOfTests(t *testing.T, program []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, program...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := strings.Fields(string(out))
	if len(imports) < 100 {
		t.Fatalf("got %d imports, want all of them", len(imports))
	}
	for _, imported := range imports {
		for _, unwanted := range []string{"testing", "httptest", "nats-server", "natsserver", "anchortest", "operatortest"} {
			if imported == unwanted || strings.Contains(imported, "/"+unwanted) {
				t.Errorf("got %s among the worker's imports", imported)
			}
		}
	}
}
