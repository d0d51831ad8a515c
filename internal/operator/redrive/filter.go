package redrive

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/deadletter"
)

// Filter chooses failed tasks by their newest dead letter. A field that is empty chooses all.
type Filter struct {
	Codes []string
	Hosts []string
	Tasks []string // ids, of the task or of one of its runs
	Batch string
	Since time.Duration // the letter was stored at most so long ago
}

// IsEmpty reports whether the filter chooses every task.
func (f Filter) IsEmpty() bool {
	return len(f.Codes) == 0 && len(f.Hosts) == 0 && len(f.Tasks) == 0 && f.Batch == "" && f.Since == 0
}

// chooses reports whether the filter chooses the task of a letter.
func (f Filter) chooses(l letter) bool {
	isOneOf := func(value string, values []string) bool { return len(values) == 0 || slices.Contains(values, value) }
	base, _ := deadletter.SplitRun(l.TaskID)
	isTask := func(id string) bool {
		chosen, _ := deadletter.SplitRun(id)
		return chosen == base
	}
	return isOneOf(l.Code, f.Codes) && isOneOf(l.Host, f.Hosts) && (f.Batch == "" || l.Batch == f.Batch) &&
		(len(f.Tasks) == 0 || slices.ContainsFunc(f.Tasks, isTask))
}
