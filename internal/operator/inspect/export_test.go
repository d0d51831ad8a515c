package inspect

import "github.com/capstan-worker/capstan/internal/operator/forecast"

// Explain returns the sentences about a task.
func Explain(t Task, s Status, place int, begins, ends forecast.Estimate) string {
	f := &finding{task: t, status: s, place: place, begins: begins, ends: ends}
	return f.sentences()
}
