package admin

// Config says where operators find the worker.
type Config struct {
	Addr  string `split_words:"true" default:"127.0.0.1:8080" desc:"/livez, /readyz, /metrics"`
	Token string `split_words:"true" desc:"when set, everything but the probes and /metrics asks for it"`
}
