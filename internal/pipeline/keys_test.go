package pipeline_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// The API repeats a key in its answer. The key is replaced while the worker runs, as in a rotation.
func TestEventsShowNoAPIKeyThatTheWorkerHasUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := []string{"sk-first-000000000001"}
	w.keys = func() []string { return keys }
	worker := w.worker("w1", healthy{})
	run := func(id string, secrets string) string {
		t.Helper()
		result := json.RawMessage(`"used sk-first-000000000001, then sk-second-00000000002"`)
		request := w.planned(anchortest.Plan{Result: result}, secrets)
		if err := handle(t.Context(), worker, w.request(strings.Replace(request, `"a"`, `"`+id+`"`, 1))(1)); err != nil {
			t.Fatal(err)
		}
		events := w.events()
		return string(events[len(events)-1].Result)
	}
	const both = `"used [redacted], then [redacted]"`
	if got := run("a", ""); got != `"used [redacted], then sk-second-00000000002"` {
		t.Errorf("got %s with the first key", got)
	}
	keys = []string{"sk-second-00000000002", "sk-first-000000000001"}
	if got := run("b", ""); got != both {
		t.Errorf("got %s after the rotation, want %s", got, both)
	}
	if got := run("c", `,"secret_values":{"WORD":"then"}`); got != strings.Replace(both, "then", "[redacted:WORD]", 1) {
		t.Errorf("got %s with a secret of the request", got)
	}
}
