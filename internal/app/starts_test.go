package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// The API accepts a few submissions in each window. Three workers share them: they wait for the next window before they are
// refused, and a worker that waits says so.
//
// It does not run beside other tests: a worker whose exchange with the others takes a second goes on alone, and is refused.
func TestWorkersShareTheStartsAndAreNotRefused(t *testing.T) {
	const quota, tasks, window = 10, 45, 6 * time.Second
	w := newWorld(t, anchortest.WithStartRate(anchortest.StartRate{Quota: quota, Window: window}))
	first := w.startReady("w1")
	w.submit("learns", done)
	w.waitEvents(1)
	w.startReady("w2") // they learn from the first
	w.startReady("w3")
	began := time.Now()
	for i := range tasks {
		w.submit(fmt.Sprint("t", i), done)
	}
	natstest.Eventually(t, func() error {
		if got := first.get("/readyz"); !strings.Contains(got, "submissions: waiting until ") {
			return fmt.Errorf("got %s, want a worker that waits", got)
		}
		return nil
	})
	w.waitEvents(tasks + 1)
	took := time.Since(began)
	t.Logf("took %v", took)
	totals := w.api.Totals()
	if refused := totals.Posts - totals.Accepted; refused > 1 || totals.Accepted != tasks+1 {
		t.Errorf("got %d refusals and %d accepted submissions, want hardly any and %d", refused, totals.Accepted, tasks+1)
	}
	if longest := (tasks/quota + 1) * window * 5 / 4; took > longest {
		t.Errorf("took %v, want %v at most", took, longest)
	}
	if got := first.metric("capstan_starts_remaining"); got < 0 || got > quota {
		t.Errorf("got %v starts remaining, want 0 to %d", got, quota)
	}
}
