package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// Nothing is set: the workers run no more tasks at once than the plan has browsers, and are not refused.
func TestWorkersUseThePlanAndAreNotRefused(t *testing.T) {
	t.Parallel()
	const browsers, tasks = 5, 40
	w := newWorld(t, anchortest.WithMaxRunning(browsers))
	first := w.startReady("w1")
	w.startReady("w2")
	for i := range tasks {
		w.submit(fmt.Sprint("t", i), running(200*time.Millisecond))
	}
	w.waitEvents(tasks)
	totals := w.api.Totals()
	if refused := totals.Posts - totals.Accepted; refused > tasks/20 || totals.Accepted != tasks {
		t.Errorf("got %d refusals and %d accepted submissions, want hardly any and %d", refused, totals.Accepted, tasks)
	}
	natstest.Eventually(t, func() error {
		if got := first.get("/readyz"); !strings.Contains(got, "5 tasks in progress on all workers: the plan runs 5 browsers") {
			return fmt.Errorf("got %s, want the limit", got)
		}
		return nil
	})
}
