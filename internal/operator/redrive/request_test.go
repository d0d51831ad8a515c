package redrive_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAnotherBatchRunsWhatACanceledOneLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.WriteLetter("a", "canceled", operatortest.Request("a", `"batch":"day"`), "Capstan-Batch", "day")
	if _, err := steer.CancelBatch(t.Context(), s.Queue, "day", task.Cancellation{}); err != nil {
		t.Fatal(err)
	}
	if _, err := steer.CancelBatch(t.Context(), s.Queue, "dusk", task.Cancellation{}); err != nil {
		t.Fatal(err)
	}
	if got := summary(s.plan(anyTask, "batch=night")); got != "a → a.r1" {
		t.Errorf("got %s, want it in the other batch", got)
	}
	if got := s.plan(anyTask, "batch=dusk").LeftOut; len(got) != 1 || got[0].Why != redrive.BatchCanceled || got[0].Detail != "dusk" {
		t.Errorf("got %v, want that dusk is canceled, too", got)
	}
}

// Anyone can publish another request with the id of a task. It is refused, and has a dead letter of its own.
func TestARefusalDoesNotHideTheTaskThatHasItsID(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("a", "timeout")
	s.WriteLetter("a", "duplicate_task", operatortest.Request("a", `"max_steps":7`))
	s.fail("b", "timeout")
	s.WriteLetter("b.r1", "invalid_request", operatortest.Request("b.r1", `"max_steps":0`))
	s.WriteLetter("c", "invalid_request", "no json")
	s.fail("c", "step_limit")
	s.WriteRecord(task.Record{TaskID: "d", State: task.Failed}) // its letter is not kept any more
	s.WriteLetter("d", "duplicate_task", operatortest.Request("d", `"max_steps":7`))
	s.WriteLetter("e", "invalid_request", operatortest.Request("e"))
	if got, want := summary(s.plan(redrive.Filter{Codes: []string{"timeout"}})), "a → a.r1, b → b.r2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r := s.plan(anyTask)
	if got, want := summary(r), "a → a.r1, b → b.r2, c → c.r1, e → e.r1, d: "+string(redrive.IDTaken); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := r.Send(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.StoredRequests(), "\n"); strings.Contains(got, "max_steps") || !strings.Contains(got, operatortest.Request("a.r1")) {
		t.Errorf("got %s, want the requests of the tasks", got)
	}
}

func TestOnlyMarksInThePlaceOfSecretsKeepATaskFromRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for id, more := range map[string]string{
		"mentions":  `"metadata":{"note":"write [redacted:PIN] in its place"}`,
		"short":     `"secret_values":{"PIN":"*"}`,
		"in-prompt": `"secret_values":{"PIN":"[redacted:PIN]"},"extended_system_message":"say [redacted:PIN]"`,
		"only-pin":  `"secret_values":{"PIN":"[redacted:PIN]"}`,
	} {
		s.fail(id, "timeout", more)
	}
	for change, want := range map[string][]string{
		"max_steps=7":                            {"mentions"},
		`secret_values={"PIN":"1234"}`:           {"mentions", "only-pin", "short"},
		`secret_values={"PIN":"[redacted:PIN]"}`: {"mentions"},
	} {
		got := map[string]bool{}
		for _, each := range s.plan(anyTask, change).Tasks {
			got[each.TaskID] = true
		}
		wanted := map[string]bool{}
		for _, id := range want {
			wanted[id] = true
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s: got %v, want %v", change, got, want)
		}
	}
}

func TestABodyThatIsLostLeavesItsTaskOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, "OBJ_task_results")
	s.WriteLetter("lost", "timeout", "", "Capstan-Object", "task_results/dead/1")
	if got := s.plan(anyTask).LeftOut; len(got) != 1 || got[0].Why != redrive.NotKept || !strings.Contains(got[0].Detail, "bucket not found") {
		t.Errorf("no store: got %v, want that it was not kept", got)
	}
	s = newSite(t)
	s.WriteLetter("lost", "timeout", "", "Capstan-Object", "task_results/dead/1")
	s.WriteLetter("nameless", "timeout", "", "Capstan-Object", "task_results/")
	if got := summary(s.plan(anyTask)); got != "lost: its body was not kept, nameless: its body was not kept" {
		t.Errorf("no object: got %s, want that they were not kept", got)
	}
	s.PutObject("dead/1", operatortest.Request("lost"))
	if got := summary(s.plan(redrive.Filter{Tasks: []string{"lost"}})); got != "lost → lost.r1" {
		t.Errorf("got %s, want it sent", got)
	}
}
