package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/task"
)

// rate() of a series that is born with its first event does not see that event.
func TestTheSeriesOfEveryOutcomeAreThereBeforeTheFirst(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	pipeline.New(pipeline.Config{}, pipeline.Parts{}, reg, zerolog.Nop())
	var want strings.Builder
	want.WriteString("# HELP capstan_tasks_total Events published, by status and error code.\n# TYPE capstan_tasks_total counter\n")
	for _, code := range task.Codes() {
		fmt.Fprintf(&want, "capstan_tasks_total{code=%q,status=\"failed\"} 0\n", code)
	}
	want.WriteString("capstan_tasks_total{code=\"none\",status=\"succeeded\"} 0\n")
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want.String()), "capstan_tasks_total"); err != nil {
		t.Error(err)
	}
	if got := testutil.CollectAndCount(reg, "capstan_step_seconds"); got != 4 {
		t.Errorf("got %d histograms of steps, want 4", got)
	}
}
