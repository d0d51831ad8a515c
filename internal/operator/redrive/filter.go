package redrive

import (
	"slices"
	"time"
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
	base, _ := splitRun(l.taskID)
	isTask := func(id string) bool {
		chosen, _ := splitRun(id)
		return chosen == base
	}
	return isOneOf(l.code, f.Codes) && isOneOf(l.host, f.Hosts) && (f.Batch == "" || l.batch == f.Batch) &&
		(len(f.Tasks) == 0 || slices.ContainsFunc(f.Tasks, isTask))
}
