package anchortest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Log counts the calls for one task.
type Log struct {
	Posts     int      `json:"posts"`              // POSTs that arrived
	Accepted  int      `json:"accepted"`           // workflows started
	Doubtful  int      `json:"doubtful"`           // POSTs after which the client cannot know whether they were accepted
	Polls     int      `json:"polls"`              // status calls, including those that failed
	Workflows []string `json:"workflows"`          // their ids, in order
	Sessions  []string `json:"sessions,omitempty"` // the session of each POST that named one
	Bodies    [][]byte `json:"-"`                  // of all POSTs; they may contain secrets

	Posted   time.Time `json:"posted,omitzero"`   // when the first POST arrived
	Ended    time.Time `json:"ended,omitzero"`    // when a workflow first ended
	Answered time.Time `json:"answered,omitzero"` // when a status call first found a workflow that had ended, and got its answer
}

// Totals counts the calls for all tasks together.
type Totals struct {
	Tasks    int `json:"tasks"`
	Posts    int `json:"posts"`
	Accepted int `json:"accepted"`
	Polls    int `json:"polls"`
	Running  int `json:"running"` // workflows that have not ended yet
}

// entry is the log of one task, and what its plan's faults depend on.
type entry struct {
	Log
	name     string
	prompt   string
	number   int  // 1 for the first task
	repeat   int  // 1 for the first task of this name
	posts    int  // POSTs that count for Fault.Times: without those struck by a fault with Until
	answered bool // a client got the id of a workflow, or its result
}

// ledger counts the calls, and keeps all tasks and workflows. The server's mutex guards it. It only grows,
// so a test that runs for hours needs the memory for it.
type ledger struct {
	tasks     map[string]*entry
	latest    map[string]*entry // by the name that WithTaskName gives: the latest of the tasks that WithRepeats tells apart
	workflows map[string]*workflow
	posts     int
	polls     int
	running   int
}

func newLedger() ledger {
	return ledger{tasks: map[string]*entry{}, workflows: map[string]*workflow{}, latest: map[string]*entry{}}
}

// entryOf returns the entry of a task, which is a new one with its first POST. If repeats, it is a new one after each
// answer that got through, with a number behind its name.
func (l *ledger) entryOf(name string, t Task, repeats bool) *entry {
	e := l.latest[name]
	if e != nil && (!repeats || !e.answered) {
		return e
	}
	unique, repeat := name, 1
	if e != nil {
		repeat = e.repeat
	}
	for l.tasks[unique] != nil { // also if another prompt looks like that
		repeat++
		unique = fmt.Sprintf("%s (%d)", name, repeat)
	}
	e = &entry{Log: Log{Posted: time.Now()}, name: unique, prompt: t.Prompt, number: len(l.tasks) + 1, repeat: repeat}
	l.tasks[unique], l.latest[name] = e, e
	return e
}

// addPost counts a POST, whatever becomes of it.
func (l *ledger) addPost(e *entry, t Task) {
	l.posts++
	e.Posts++
	e.Bodies = append(e.Bodies, t.Body)
	if t.SessionID != "" {
		e.Sessions = append(e.Sessions, t.SessionID)
	}
}

// addWorkflow counts an accepted POST. The id of its workflow has the form of the real ones.
func (l *ledger) addWorkflow(e *entry, plan Plan) *workflow {
	if len(e.Workflows) < plan.Fails {
		plan.State, plan.Result = "FAILED", nil
	}
	wf := &workflow{id: "perform-web-task-execution-" + newUUID() + "-" + newUUID(), log: e, plan: plan, began: time.Now()}
	l.workflows[wf.id] = wf
	l.running++
	e.Accepted++
	e.Workflows = append(e.Workflows, wf.id)
	return wf
}

// end records how a workflow ended. It must be called once for each workflow.
func (l *ledger) end(wf *workflow, e ending) {
	l.running--
	if wf.log.Ended.IsZero() {
		wf.log.Ended = time.Now()
	}
	wf.ended, wf.state, wf.result, wf.err = true, e.state, e.result, e.err
}

// copy returns a Log that does not change any more, and that the caller may change. The bodies themselves
// are shared, and nothing writes to them.
func (e *entry) copy() Log {
	log := e.Log
	log.Workflows, log.Sessions, log.Bodies = slices.Clone(e.Workflows), slices.Clone(e.Sessions), slices.Clone(e.Bodies)
	return log
}

// newUUID returns a random UUID, version 4 (RFC 9562, section 5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	digits := hex.EncodeToString(b[:])
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

// Log returns the log of the task of that name. It is zero for a task that was never submitted.
func (s *Server) Log(name string) Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ledger.tasks[name]; e != nil {
		return e.copy()
	}
	return Log{}
}

// Accepted returns how many workflows were started for the task of that name: more than one if it ran twice.
func (s *Server) Accepted(name string) int { return s.Log(name).Accepted }

// Logs returns the logs of all tasks, by name. All of them are of the same moment.
func (s *Server) Logs() map[string]Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := make(map[string]Log, len(s.ledger.tasks))
	for name, e := range s.ledger.tasks {
		logs[name] = e.copy()
	}
	return logs
}

// StartedTwice returns the names of the tasks with more than one workflow, sorted. It is empty if no task
// ran twice.
func (s *Server) StartedTwice() []string {
	logs := s.Logs()
	maps.DeleteFunc(logs, func(_ string, log Log) bool { return log.Accepted < 2 })
	return slices.Sorted(maps.Keys(logs))
}

// Totals returns the sums over all tasks.
func (s *Server) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Totals{
		Tasks: len(s.ledger.tasks), Posts: s.ledger.posts, Accepted: len(s.ledger.workflows),
		Polls: s.ledger.polls, Running: s.ledger.running,
	}
}
