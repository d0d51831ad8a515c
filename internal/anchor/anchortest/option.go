package anchortest

// Option changes what New makes.
type Option func(*Server)

// WithKey sets the API key that is accepted.
func WithKey(key string) Option { return func(s *Server) { s.key = key } }

// WithPlan decides what happens to each task. It is called once for every submission, from many
// goroutines at once, and must always say the same of the same task. Default: MarkedPlan.
func WithPlan(plan func(Task) Plan) Option {
	return func(s *Server) {
		s.plan = func(t Task) (Plan, error) { return plan(t), nil }
	}
}

// WithTaskName says under which name a submission is counted. Default: its whole prompt.
func WithTaskName(name func(Task) string) Option { return func(s *Server) { s.name = name } }

// WithAgent lets an agent find the result of each task whose plan has neither a result nor an ending.
func WithAgent(agent Agent) Option { return func(s *Server) { s.agent = agent } }

// WithAnyField accepts body fields that are not documented. Without it they are answered with 400.
func WithAnyField() Option { return func(s *Server) { s.anyField = true } }

// WithRateLimit accepts so many submissions in each minute and answers the others with 429, Retry-After
// and the RateLimit headers.
func WithRateLimit(perMinute int) Option { return func(s *Server) { s.rate = perMinute } }

// WithMaxRunning answers a submission with 429, and no word of when to come back, while so many workflows
// run. The billing call shows the number.
func WithMaxRunning(n int) Option { return func(s *Server) { s.maxRunning = n } }

// WithRandomFaults makes calls fail at random: those for which neither an outage nor a plan has a fault.
// The same seed rolls the same dice.
func WithRandomFaults(seed uint64, submits, polls []Chance) Option {
	return func(s *Server) { s.dice = newDice(seed, submits, polls) }
}

// WithSessions answers a submission that names a session with 403, unless own says that the session is the
// caller's. It is called from many goroutines at once. Default: every session is.
func WithSessions(own func(sessionID string) bool) Option { return func(s *Server) { s.session = own } }
