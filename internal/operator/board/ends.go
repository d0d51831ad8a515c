package board

import (
	"cmp"
	"maps"
	"slices"
	"time"
	"unique"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// shownMinutes is for how long the ends of each minute are counted.
	shownMinutes = 6 * 60

	// hostWindow is for how long the ends of each host are counted.
	hostWindow = time.Hour
)

// ends counts the tasks that have ended lately.
type ends struct {
	now     moment
	minutes [shownMinutes]Minute // the oldest first, the last one is that of now
	hosts   map[unique.Handle[string]]HostCount
}

// Minute is how many tasks have ended in a minute.
type Minute struct {
	Start     time.Time
	Succeeded int
	Failed    int
}

// HostCount is how many tasks of a host have ended within the last hour.
type HostCount struct {
	Host   string // "" for tasks without a url
	Ended  int
	Failed int // without those that an operator canceled: they say nothing of the host
}

// newEnds returns no ends, as of a moment.
func newEnds(now time.Time) *ends {
	e := &ends{now: momentOf(now), hosts: map[unique.Handle[string]]HostCount{}}
	first := now.UTC().Truncate(time.Minute).Add(-(shownMinutes - 1) * time.Minute)
	for i := range e.minutes {
		e.minutes[i].Start = first.Add(time.Duration(i) * time.Minute)
	}
	return e
}

// add counts a task, if it has ended.
func (e *ends) add(c *card) {
	state := task.State(c.state.Value())
	since := c.finished - momentOf(e.minutes[0].Start)
	if !state.Ended() || c.finished == 0 || since < 0 || since >= moment(shownMinutes*time.Minute) {
		return
	}
	m, h := &e.minutes[since/moment(time.Minute)], e.hosts[c.host]
	h.Ended++
	if state == task.Failed {
		m.Failed++
		if task.Code(c.code.Value()) != task.Canceled {
			h.Failed++
		}
	} else {
		m.Succeeded++
	}
	if e.now-c.finished < moment(hostWindow) {
		h.Host = c.host.Value()
		e.hosts[c.host] = h
	}
}

// Minutes returns how many tasks have ended in each of the last 360 minutes, the oldest first.
func (b *Board) Minutes() []Minute {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.ends.minutes[:]
}

// FailingHosts returns the hosts of tasks that failed within the last hour, those with the most failures first.
func (b *Board) FailingHosts(most int) []HostCount {
	b.mu.RLock()
	defer b.mu.RUnlock()
	failing := slices.SortedFunc(maps.Values(b.ends.hosts), func(a, b HostCount) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.Host, b.Host))
	})
	if healthy := slices.IndexFunc(failing, func(h HostCount) bool { return h.Failed == 0 }); healthy >= 0 {
		failing = failing[:healthy]
	}
	return failing[:min(most, len(failing))]
}
