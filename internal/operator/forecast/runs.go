package forecast

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// mostRuns is from how many tasks it is learned how long a task runs: those that ended last.
const mostRuns = 1000

// Runs are the runs of tasks that a pace is learned from.
type Runs struct {
	now   time.Time
	ended []period
	most  int      // of ended, before those that nothing is learned from are forgotten
	busy  []period // that were under way within paceWindow
}

// NewRuns returns no runs, as of a moment.
func NewRuns(now time.Time) *Runs { return &Runs{now: now, most: 4 * mostRuns} }

// Add adds the last run of the task of a record, unless it was never submitted.
func (r *Runs) Add(rec task.Record) {
	p := periodOf(rec, r.now)
	if p.from.IsZero() {
		return
	}
	if r.now.Sub(p.to) < paceWindow {
		r.busy = append(r.busy, p)
	}
	if !rec.State.Ended() {
		return
	}
	if r.ended = append(r.ended, p); len(r.ended) > r.most {
		r.forget()
		r.most = 4 * len(r.ended)
	}
}

// forget forgets the runs that neither ended within paceWindow nor are among the last ones.
func (r *Runs) forget() {
	slices.SortFunc(r.ended, func(a, b period) int { return b.to.Compare(a.to) })
	kept := slices.IndexFunc(r.ended, func(p period) bool { return r.now.Sub(p.to) >= paceWindow })
	if kept >= 0 {
		r.ended = r.ended[:min(len(r.ended), max(kept, mostRuns))]
	}
}

// Pace learns from the runs.
func (r *Runs) Pace() Pace {
	p := Pace{now: r.now}
	slices.SortFunc(r.ended, func(a, b period) int { return b.to.Compare(a.to) })
	for i, run := range r.ended {
		if r.now.Sub(run.to) < paceWindow {
			p.ended = append(p.ended, run)
		}
		if i < mostRuns {
			p.runs = append(p.runs, run.to.Sub(run.from))
		}
	}
	slices.Sort(p.runs)
	window := r.now.Add(-paceWindow)
	for i := range r.busy {
		if r.busy[i].from.Before(window) {
			r.busy[i].from = window
		}
	}
	p.busy = union(r.busy)
	return p
}

// periodOf returns when the last run of a task ran, until now if it runs. It is zero for a task that was never submitted.
func periodOf(r task.Record, now time.Time) period {
	switch {
	case r.SubmittedAt.IsZero() || r.SubmittedAt.After(now):
		return period{}
	case r.State.Ended() && r.FinishedAt.After(r.SubmittedAt) && !r.FinishedAt.After(now):
		return period{r.SubmittedAt, r.FinishedAt}
	case r.State == task.Running:
		return period{r.SubmittedAt, now}
	default:
		return period{}
	}
}

// period is the time from one moment to another.
type period struct{ from, to time.Time }

// union returns the periods without overlaps, the earliest first. It changes the order of its argument.
func union(all []period) (merged []period) {
	slices.SortFunc(all, func(a, b period) int { return a.from.Compare(b.from) })
	for _, p := range all {
		last := len(merged) - 1
		switch {
		case last < 0 || p.from.After(merged[last].to):
			merged = append(merged, p)
		case p.to.After(merged[last].to):
			merged[last].to = p.to
		}
	}
	return merged
}
