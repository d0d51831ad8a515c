package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// standInConfig says how the stand-in for the API is run.
type standInConfig struct {
	Key      string `json:"key"`
	Seed     uint64 `json:"seed"`
	Faults   bool   `json:"faults"`   // some calls fail at random
	Sessions bool   `json:"sessions"` // the workers have SESSIONS=on
}

// newStandIn returns the handler of the stand-in's process. Each worker has a link of its own and so sends another Host header, which
// shows which worker polls what.
func newStandIn(config []byte) (http.Handler, error) {
	var cfg standInConfig
	if err := json.Unmarshal(config, &cfg); err != nil {
		return nil, err
	}
	opts := []anchortest.Option{
		anchortest.WithKey(cfg.Key), anchortest.WithTaskName(anchortest.FirstWord), anchortest.WithPlan(planOf),
		anchortest.WithSessions(func(id string) bool { return !strings.HasPrefix(id, foreignSession) }),
	}
	if cfg.Faults {
		opts = append(opts, anchortest.WithRandomFaults(cfg.Seed, submitChances(), pollChances()))
	}
	var api *anchortest.Server
	if cfg.Sessions {
		opts = append(opts, sessionOptions(cfg, func(id string) bool { return api.EndSession(id) })...)
	}
	api = anchortest.New(opts...)
	polls := firstPolls{first: map[string]map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.Handle("/_stand-in/", api)
	mux.HandleFunc("GET /_chaos/polls", polls.show)
	mux.HandleFunc("/v1/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		polls.note(r)
		api.ServeHTTP(w, r)
	})
	return mux, nil
}

// planOf returns the plan in the prompt. A short name stands for the large result, which would not fit into a request.
func planOf(t anchortest.Task) anchortest.Plan {
	p, err := anchortest.MarkedPlan(t)
	if err != nil {
		return anchortest.Plan{Error: err.Error()} // and so nothing that was wanted
	}
	switch string(p.Result) {
	case largeName:
		p.Result = largeResult()
	case foreignBytesName:
		p.Result = json.RawMessage("{\"city\":\"Z\xfcrich\"}")
	}
	return p
}

// foreignBytesName stands in a plan for a result that is not UTF-8, because a prompt cannot contain it.
const foreignBytesName = `"not UTF-8"`

// foreignSession begins the ids of other people's sessions.
const foreignSession = "foreign-"

// largeName stands for largeResult in a plan.
const largeName = `"large"`

// largeResult returns a JSON string that is too large for a message, and has no two equal parts.
func largeResult() []byte {
	const numbers = 200_000
	result := []byte{'"'}
	for i := range numbers {
		result = fmt.Appendf(result, "%d ", i)
	}
	return append(result, '"')
}

// submitChances returns the faults of any submission.
func submitChances() []anchortest.Chance {
	return []anchortest.Chance{
		{Probability: 0.01, Fault: anchortest.Reset().ButAccepted()},
		{Probability: 0.01, Fault: anchortest.Answer(http.StatusInternalServerError)},
		{Probability: 0.01, Fault: anchortest.RateLimited(1)},
		{Probability: 0.05, Fault: anchortest.Fault{After: 300 * time.Millisecond}},
	}
}

// pollChances returns the faults of any status call. None of them ends a task.
func pollChances() []anchortest.Chance {
	return []anchortest.Chance{
		{Probability: 0.02, Fault: anchortest.Answer(http.StatusInternalServerError)},
		{Probability: 0.01, Fault: anchortest.HTML(http.StatusBadGateway)},
		{Probability: 0.01, Fault: anchortest.Reset()},
		{Probability: 0.01, Fault: anchortest.Garbage()},
		{Probability: 0.005, Fault: anchortest.Hang()},
		{Probability: 0.05, Fault: anchortest.Fault{After: 200 * time.Millisecond}},
	}
}

// firstPolls notes when each worker first polled each workflow.
type firstPolls struct {
	mu    sync.Mutex
	first map[string]map[string]time.Time // by workflow, and by the host in the worker's request; guarded by mu
}

func (p *firstPolls) note(r *http.Request) {
	workflow, ok := strings.CutSuffix(r.PathValue("rest"), "/status")
	if !ok {
		return
	}
	workflow = strings.TrimPrefix(workflow, "tools/perform-web-task/")
	p.mu.Lock()
	defer p.mu.Unlock()
	by := p.first[workflow]
	if by == nil {
		by = map[string]time.Time{}
		p.first[workflow] = by
	}
	if _, ok := by[r.Host]; !ok {
		by[r.Host] = time.Now()
	}
}

func (p *firstPolls) show(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer, err := json.Marshal(p.first)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer) // fails only if the client has gone
}

// standIn is the process of the stand-in.
type standIn struct {
	*process.StandIn
	key string
}

// polls returns when each worker first polled each workflow, by workflow and by the address of the worker's link.
func (s *standIn) polls(ctx context.Context) (map[string]map[string]time.Time, error) {
	var first map[string]map[string]time.Time
	err := s.Get(ctx, "/_chaos/polls", &first)
	return first, err
}

// sessions returns what became of the sessions that workers created.
func (s *standIn) sessions(ctx context.Context) (logs []anchortest.SessionLog, err error) {
	err = s.Get(ctx, "/_stand-in/sessions", &logs)
	return logs, err
}

// fail makes every call fail, until recover.
func (s *standIn) fail(ctx context.Context, f anchortest.Fault) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("begin an outage: %w", err)
	}
	_, err = process.Call(ctx, http.MethodPut, "http://"+s.Addr+"/_stand-in/outage", text)
	return err
}

func (s *standIn) recover(ctx context.Context) error {
	_, err := process.Call(ctx, http.MethodDelete, "http://"+s.Addr+"/_stand-in/outage", nil)
	return err
}
