package inspect_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// Who has the link sees the browser, and may control it.
func TestTheLinkToABrowserIsInNoJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const link = "https://live.example/?sessionId=s-1"
	for state, want := range map[task.State]task.Secret{task.Waiting: "", task.Submitting: link, task.Running: link, task.Succeeded: "", task.Failed: ""} {
		d.WriteRecord(task.Record{TaskID: string(state), State: state, LiveView: link})
		found := d.find(string(state))
		if found.LiveView != want || found.Record.LiveView != "" {
			t.Errorf("%s: got %q and %q in the record, want %q and nothing", state, string(found.LiveView), found.Record.LiveView, string(want))
		}
		if text := jsonOf(t, found) + string(found.Record.JSON()); strings.Contains(text, "live.example") {
			t.Errorf("%s: got %s, want it without the link", state, text)
		}
	}
}
