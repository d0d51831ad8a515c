package operator

import (
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// EstimateAfter foresees when so many more tasks will have ended, by these records.
func EstimateAfter(all map[string]task.Record, now time.Time, most, tasks int) (Estimate, bool) {
	t := tallyOf(all, "", now)
	t.pace.most = most
	rest, ok := t.pace.after(tasks)
	return rest.after(now), ok
}

// EstimateRest foresees when the last of some tasks will end that have run for so long.
func EstimateRest(all map[string]task.Record, now time.Time, elapsed time.Duration, tasks int) (Estimate, bool) {
	rest, ok := tallyOf(all, "", now).pace.rest(elapsed, tasks)
	return rest.after(now), ok
}

// Explain returns the sentences about a task.
func Explain(t Task, s Status, place int, begins, ends Estimate) string {
	f := &finding{task: t, status: s, place: place, begins: begins, ends: ends}
	return f.sentences()
}
