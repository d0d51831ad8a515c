package inspect_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestATaskHasItsSession(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	used := inspect.Session{ID: "s-1", Ended: new(false), Steps: new(3), Credits: new(0.5)}
	d.WriteRecord(task.Record{TaskID: "record", State: task.Failed, SessionID: used.ID, SessionEnded: used.Ended, Steps: used.Steps, Credits: used.Credits})
	d.WriteEvent(task.Event{TaskID: "event", Status: task.Failed, SessionID: used.ID, SessionEnded: used.Ended, Steps: used.Steps, Credits: used.Credits})
	d.WriteRecord(task.Record{TaskID: "none", State: task.Running})
	for id, want := range map[string]string{"record": "s-1 end not confirmed, so it ends by itself 3 0.5", "event": "s-1 end not confirmed, so it ends by itself 3 0.5", "none": "   ", "absent": "   "} {
		s := d.find(id).Session()
		if got := strings.Join([]string{s.ID, s.EndText(), s.StepsText(), s.CreditsText()}, " "); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	if got := (inspect.Session{Ended: new(true)}).EndText(); got != "ended" {
		t.Errorf("got %q, want ended", got)
	}
}
