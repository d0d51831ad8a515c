package inspect

import "github.com/capstan-worker/capstan/internal/operator/forecast"

// ExplainOnPage returns the sentences about a task on its page.
func ExplainOnPage(t Task, s Status) string {
	f := &finding{task: t, reader: OnPage, status: s}
	return f.sentences()
}

// Explain returns the sentences about a task.
func Explain(t Task, s Status, place int, begins, ends forecast.Estimate) string {
	f := &finding{task: t, status: s, place: place, begins: begins, ends: ends}
	return f.sentences()
}
