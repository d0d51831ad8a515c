package board

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/deadletter"
)

// LetterGroup are the tasks whose newest dead letter has the same code and host.
type LetterGroup struct {
	Code  string // "" in a letter of an older version
	Host  string // "" without a url
	Tasks int
	Again int       // of these, tasks that were run again: the next run is queued, in progress, or has ended
	Last  time.Time // when the newest letter was stored
}

// readLetters reads the dead letters that were stored since the last call, and forgets those that have expired. A stream that
// is missing has none.
func (b *Board) readLetters(ctx context.Context) error {
	stream, err := b.q.Stream(ctx, b.q.Config.Dead.Stream)
	if err != nil {
		return err
	}
	first := stream.CachedInfo().State.FirstSeq
	err = b.heads.Read(ctx, b.forgetLetters, b.noteLetter)
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.letters, func(_ string, l deadletter.Letter) bool { return l.Seq < first })
	return err
}

// forgetLetters forgets all letters: the stream was created again.
func (b *Board) forgetLetters() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.letters)
}

// noteLetter takes a letter, unless it says nothing of how its task failed last.
func (b *Board) noteLetter(l deadletter.Letter) {
	l.TaskID = strings.Clone(l.TaskID)
	l.Code, l.Host, l.Batch = shared(l.Code).Value(), shared(l.Host).Value(), shared(l.Batch).Value()
	l.Header, l.Body = nil, nil
	base, _ := deadletter.SplitRun(l.TaskID)
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, ok := b.letters[base]; !ok || l.Supersedes(before) {
		b.letters[base] = l
	}
}

// LetterGroups returns the dead letters that a filter takes by code and host: the largest group first.
func (b *Board) LetterGroups(f LetterFilter) []LetterGroup {
	b.mu.RLock()
	defer b.mu.RUnlock()
	type kind struct{ code, host string }
	groups, again := map[kind]LetterGroup{}, b.runAgain()
	for base, l := range b.letters {
		if !f.takes(l) {
			continue
		}
		k := kind{l.Code, l.Host}
		g := groups[k]
		g.Code, g.Host = l.Code, l.Host
		g.Tasks++
		if again[base] {
			g.Again++
		}
		if l.Stored.After(g.Last) {
			g.Last = l.Stored
		}
		groups[k] = g
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b LetterGroup) int {
		return cmp.Or(cmp.Compare(b.Tasks, a.Tasks), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Host, b.Host))
	})
}

// LetterFilter says which dead letters to list. What is empty does not count.
type LetterFilter struct{ Code, Host, Batch string }

// takes reports whether the filter takes a letter.
func (f LetterFilter) takes(l deadletter.Letter) bool {
	return (f.Code == "" || f.Code == l.Code) && (f.Host == "" || strings.EqualFold(f.Host, l.Host)) && (f.Batch == "" || f.Batch == l.Batch)
}

// Letter is a dead letter in a list.
type Letter struct {
	TaskID, Code, Host, Batch string // Code, Host and Batch may be ""
	Stored                    time.Time
}

// ListLetters returns the newest letter of each task that a filter takes: the last one stored first, and at most so many.
func (b *Board) ListLetters(f LetterFilter, most int) (listed []Letter) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []deadletter.Letter
	for _, l := range b.letters {
		if f.takes(l) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b deadletter.Letter) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, l := range all[:min(most, len(all))] {
		listed = append(listed, Letter{TaskID: l.TaskID, Code: l.Code, Host: l.Host, Batch: l.Batch, Stored: l.Stored})
	}
	return listed
}

// runAgain returns the tasks that have a run after the one of their letter. The caller holds b.mu.
func (b *Board) runAgain() map[string]bool {
	again, next := map[string]bool{}, make(map[string]string, len(b.letters)) // tasks by the id of their next run
	for base, l := range b.letters {
		_, run := deadletter.SplitRun(l.TaskID)
		id := fmt.Sprintf("%s.r%d", base, run+1)
		next[id] = base
		if b.tasks[id] != nil {
			again[base] = true
		}
	}
	for _, r := range b.snapshot.Queued {
		if base, ok := next[r.TaskID]; ok {
			again[base] = true
		}
	}
	return again
}
