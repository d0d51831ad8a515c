package anchortest

// Option changes the server that New returns.
type Option func(*Server)

// WithKey sets the API key that the server accepts. It answers calls with another key, or without one, with
// 401. Default: a key that Server.Key returns.
func WithKey(key string) Option { return func(s *Server) { s.key = key } }

// WithPlan sets the function that plans each task. It is called once for each submission, from many goroutines at once,
// and must return the same plan for the same task. Default: MarkedPlan.
func WithPlan(plan func(Task) Plan) Option {
	return func(s *Server) {
		s.plan = func(t Task) (Plan, error) { return plan(t), nil }
	}
}

// WithTaskName sets the function that names the task of a submission in the log. Default: the whole prompt.
// It is called with the server's mutex held, and must not call the server.
func WithTaskName(name func(Task) string) Option { return func(s *Server) { s.name = name } }

// WithAgent lets an agent find the result of each task whose plan has no State, Result or Error. Without an
// agent such a task is completed with the result "done".
func WithAgent(agent Agent) Option { return func(s *Server) { s.agent = agent } }

// WithMaxRunning answers a call that needs another browser with 429, without Retry-After, while n browsers are in use: by
// sessions, and by workflows that run in none. GET /v1/billing shows n. Default: no limit.
func WithMaxRunning(n int) Option { return func(s *Server) { s.maxRunning = n } }

// WithRandomFaults makes calls fail at random if neither an outage nor their plan has a fault for them. The same seed
// gives the same sequence of faults.
func WithRandomFaults(seed uint64, submits, polls []Chance) Option {
	return func(s *Server) { s.dice = newDice(seed, submits, polls) }
}

// WithSessions answers a submission that names a session with 403, unless POST /v1/sessions created the session or own
// reports that the caller owns it. It is called from many goroutines at once, with the server's mutex held. Default: the
// caller owns every session.
func WithSessions(own func(sessionID string) bool) Option {
	return func(s *Server) { s.ownsSession = own }
}

// WithRepeats tells tasks of the same name apart: after an answer with a workflow's id or with a result, the next
// submission under that name is another task, with a number of its own and " (2)", " (3)" and so on behind its name.
// A submission after any other answer belongs to the same task. Default: tasks of the same name are the same.
func WithRepeats() Option { return func(s *Server) { s.repeats = true } }

// WithoutBodies keeps no bodies in the log, for a server that runs for long. Default: they are in Log.Bodies.
func WithoutBodies() Option { return func(s *Server) { s.noBodies = true } }
