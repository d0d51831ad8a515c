package batch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	line1 = `{"task_id":"a","status":"succeeded","later_member":1}` + "\n"
	line2 = `{"task_id":"b","status":"failed"}` + "\n"
)

// report writes the events of a and b to a report that holds a text before.
func report(t *testing.T, before string) (string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "out.jsonl")
	if before != "" {
		if err := os.WriteFile(name, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := batch.OpenReport(name)
	if err == nil {
		for id, body := range map[string]string{"a": "{\"task_id\": \"a\",\n \"status\":\"succeeded\", \"later_member\":1}", "b": line2} {
			for range 2 {
				if err := r.Write(task.Event{TaskID: id}, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, readErr := os.ReadFile(name)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}

func TestAReportHasALineForEachTask(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"new":               "",
		"continued":         line1,
		"no line break":     strings.TrimSuffix(line1, "\n"),
		"cut off":           line1 + `{"task_id":"b","sta`,
		"cut off in the id": line1 + `{"task_id":"`,
		"all there":         line1 + line2,
	} {
		got, err := report(t, before)
		if err != nil || got != line1+line2 && got != line2+line1 {
			t.Errorf("%s: got %q, %v, want both events once", name, got, err)
		}
	}
}

// A wrong name after --report must not cost a file.
func TestAFileThatIsNoReportStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, before := range []string{operatortest.Request("a"), operatortest.Request("a") + "\n", "{\n", `{"prompt":"p`, "name,url\n", line1 + "x", "\n"} {
		got, err := report(t, before)
		if err == nil || !strings.Contains(err.Error(), "is not an event, so the file is not a report") || got != before {
			t.Errorf("%q: got %q, %v, want it unchanged", before, got, err)
		}
	}
}

// A pipe cannot be continued, and reading it would wait for ever.
func TestAReportIsARegularFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{os.DevNull, t.TempDir()} {
		if _, err := batch.OpenReport(name); err == nil || !strings.Contains(err.Error(), "must be a regular file") {
			t.Errorf("%s: got %v, want that it is no regular file", name, err)
		}
	}
}
