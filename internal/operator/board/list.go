package board

import (
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

// Listing says which tasks to list, in the order of inspect.List: the newest change first. If it takes only queued ones, they
// are in the order in which workers take them.
type Listing struct {
	inspect.Listing        // its Limit must be above 0
	Prefix          string // of the task id

	// Opened is when a list was opened that shows the tasks Shown: of the others, those that have changed since are counted.
	Opened time.Time
	Shown  []string

	// After is the last task of the page before; the zero value begins with the newest one. Only its ID and
	// ChangedAt count, or among queued tasks its Seq.
	After inspect.Entry
}

// Page is a part of a list. An entry lacks what lists do not show: when the task was requested, its workflow, and its attempts.
type Page struct {
	Tasks []inspect.Entry
	All   int  // tasks that the filter takes, also those of other pages
	More  bool // there are older ones
	IsCut bool // not all queued requests are known
	Newer int  // tasks that have changed since Opened and are not Shown
}

// List returns the tasks that a filter takes. It looks at each one, which takes a few milliseconds for 100,000.
func (b *Board) List(f Listing) Page {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(f.States) == 1 && f.States[0] == inspect.Queued {
		return b.listQueue(f)
	}
	p := pager{Listing: f, opened: momentOf(f.Opened), page: Page{IsCut: b.snapshot.IsCut && f.TakesQueued()}}
	if f.Since > 0 {
		p.since = momentOf(b.snapshot.Shared.At.Add(-f.Since))
	}
	if f.TakesQueued() {
		for _, r := range b.snapshot.Queued {
			changed, isTaken := momentOf(r.Stored), b.tasks[r.TaskID] != nil // by a worker meanwhile, or it is a copy
			if e := inspect.EntryOfQueued(r); !isTaken && p.counts(e.ID, changed) && p.Takes(e) && p.isNear(e.ID, changed) {
				p.add(e)
			}
		}
	}
	for _, c := range b.tasks {
		if p.counts(c.id, c.changed) && p.Takes(c.kind()) && p.isNear(c.id, c.changed) {
			p.add(c.entry())
		}
	}
	return p.end()
}

// listQueue returns the queued tasks that a filter takes. The caller holds b.mu.
func (b *Board) listQueue(f Listing) Page {
	page := Page{IsCut: b.snapshot.IsCut}
	since := time.Time{}
	if f.Since > 0 {
		since = b.snapshot.Shared.At.Add(-f.Since)
	}
	for _, r := range b.snapshot.Queued {
		e := inspect.EntryOfQueued(r)
		if b.tasks[e.ID] != nil || !strings.HasPrefix(e.ID, f.Prefix) || !f.Takes(e) || e.ChangedAt.Before(since) {
			continue
		}
		page.All++
		switch {
		case e.Seq <= f.After.Seq: // on a page before
		case len(page.Tasks) < f.Limit:
			page.Tasks = append(page.Tasks, e)
		default:
			page.More = true
		}
	}
	return page
}

// pager collects the tasks of a page. It makes entries only of those that may be on it.
type pager struct {
	Listing
	opened moment
	since  moment
	oldest moment // what is older cannot be on the page
	page   Page
}

// counts reports whether the filter takes a task by its id and by its last change.
func (p *pager) counts(id string, changed moment) bool {
	return changed >= p.since && strings.HasPrefix(id, p.Prefix)
}

// isNear counts a task that the filter takes, and reports whether it may be on the page.
func (p *pager) isNear(id string, changed moment) bool {
	p.page.All++
	if p.opened != 0 && changed > p.opened && !slices.Contains(p.Shown, id) {
		p.page.Newer++
	}
	if changed < p.oldest {
		p.page.More = true
		return false
	}
	return true
}

// add takes a task that may be on the page.
func (p *pager) add(e inspect.Entry) {
	if p.After.ID != "" && inspect.CompareNewest(e, p.After) <= 0 {
		return
	}
	if p.page.Tasks = append(p.page.Tasks, e); len(p.page.Tasks) > 4*p.Limit { // not sorted for each task
		p.page = p.end()
		p.oldest = momentOf(p.page.Tasks[p.Limit-1].ChangedAt)
	}
}

// end returns the page.
func (p *pager) end() Page {
	p.page.More = p.page.More || len(p.page.Tasks) > p.Limit
	p.page.Tasks = inspect.Newest(p.page.Tasks, p.Limit)
	return p.page
}

// Entries returns the tasks with these ids, in their order. One of which nothing is known has the state Unknown.
func (b *Board) Entries(ids ...string) []inspect.Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all, others := make([]inspect.Entry, len(ids)), map[string]int{}
	for i, id := range ids {
		if c := b.tasks[id]; c != nil {
			all[i] = c.entry()
			continue
		}
		all[i] = inspect.Entry{ID: id, State: inspect.Unknown}
		others[id] = i
	}
	if len(others) == 0 {
		return all
	}
	for _, r := range b.snapshot.Queued {
		if i, ok := others[r.TaskID]; ok {
			all[i] = inspect.EntryOfQueued(r)
		}
	}
	return all
}
