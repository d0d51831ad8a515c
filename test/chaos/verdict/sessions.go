package verdict

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// Sessions is what became of the browser sessions that workers created.
type Sessions struct {
	Of    map[string][]anchortest.SessionLog // by task id
	Seen  time.Time                          // when that was known
	Grace time.Duration                      // how long after its event a task may have an open session
	Late  bool                               // the steps of a session are right only some time after its end
}

// judgeSessions compares the sessions of a task with its event.
func (c *Count) judgeSessions(t Task, e Evidence, ev Event) {
	if e.Sessions == nil {
		return
	}
	all, log := e.Sessions.Of[t.ID], e.Runs[t.ID]
	for _, s := range all {
		if n := len(s.Workflows); n > 1 {
			c.complain("%s: %d workflows ran in its session %s, want each in one of its own", t.ID, n, s.ID)
		}
		c.judgeOpen(ev, s, *e.Sessions)
	}
	c.judgeFence(t, log, all)
	c.judgeNamed(ev, all)
	c.judgeSteps(ev, all, e.Sessions.Late)
}

// judgeOpen checks that a session has ended soon after its task's event, unless the API refused that.
func (c *Count) judgeOpen(ev Event, s anchortest.SessionLog, all Sessions) {
	until := s.Ended
	if until.IsZero() {
		until = all.Seen
	}
	if open := until.Sub(ev.FinishedAt); open > all.Grace && !refused(s) {
		c.complain("%s: its session %s was open for %v after its event; created %v after it, %d calls to end it",
			ev.TaskID, s.ID, open.Round(time.Second), s.Created.Sub(ev.FinishedAt), s.Deletes)
	}
}

// mustRepeat is how many calls to end a session the API must have refused, at least, for it to stay open. A worker gives up
// after half a minute.
const mustRepeat = 2

// refused reports whether the API refused to end a session.
func refused(s anchortest.SessionLog) bool { return s.Deletes >= mustRepeat && s.Cause != "deleted" }

// judgeFence checks that a run was repeated only if the agent of the first submission took no step. After a failed run the
// task may be run again nevertheless.
func (c *Count) judgeFence(t Task, log anchortest.Log, all []anchortest.SessionLog) {
	if !t.Fence || len(log.Workflows) == 0 {
		return
	}
	acted, before := 0, log.Workflows[:len(log.Workflows)-1]
	for _, s := range all {
		if s.Steps > 0 && slices.ContainsFunc(s.Workflows, func(id string) bool { return slices.Contains(before, id) }) {
			acted++
		}
	}
	if acted > t.Retries {
		c.complain("%s: run again after the agent had taken steps in %d sessions, at most %d allowed", t.ID, acted, t.Retries)
	}
}

// judgeNamed checks what the event says of the session of the last run.
func (c *Count) judgeNamed(ev Event, all []anchortest.SessionLog) {
	if ev.SessionID == "" {
		if ev.WorkflowID != "" {
			c.complain("%s: its event names no session, and the workflow %s", ev.TaskID, ev.WorkflowID)
		}
		return
	}
	i := slices.IndexFunc(all, func(s anchortest.SessionLog) bool { return s.ID == ev.SessionID })
	if i < 0 {
		c.complain("%s: its event names the session %s, which was never created for it", ev.TaskID, ev.SessionID)
		return
	}
	named := all[i]
	if ev.WorkflowID != "" && len(named.Workflows) > 0 && !slices.Contains(named.Workflows, ev.WorkflowID) {
		c.complain("%s: its event names the session %s, and a workflow that ran in another one", ev.TaskID, named.ID)
	}
	switch {
	case ev.SessionEnded == nil:
		c.complain("%s: its event does not say whether its session has ended", ev.TaskID)
	case *ev.SessionEnded && (named.Ended.IsZero() || named.Ended.After(ev.FinishedAt.Add(clockError))):
		c.complain("%s: its event says that the session %s has ended, and it had not", ev.TaskID, named.ID)
	}
}

// clockError is how exactly a worker knows the time of the server.
const clockError = time.Second

// judgeSteps checks the steps of the event. Where they are known they are those of the agents, unless the task had several
// sessions, of which some may not be known.
func (c *Count) judgeSteps(ev Event, all []anchortest.SessionLog, late bool) {
	if ev.Steps == nil {
		return
	}
	steps := 0
	for _, s := range all {
		steps += s.Steps
	}
	if *ev.Steps > steps || *ev.Steps < steps && len(all) == 1 && !late {
		c.complain("%s: %d steps, and its %d sessions have %d", ev.TaskID, *ev.Steps, len(all), steps)
	}
}
