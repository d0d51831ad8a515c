package publisher

// ResultConfig says where events go.
type ResultConfig struct {
	Stream  string `split_words:"true" default:"TASK_RESULTS" desc:"stream of the events"`
	Subject string `split_words:"true" default:"tasks.result" desc:"subject of the events"`
	Bucket  string `split_words:"true" default:"task_results" desc:"object store for results too large for a message"`
}

// DeadConfig says where requests that cannot be run go.
type DeadConfig struct {
	Stream  string `split_words:"true" default:"TASK_DEAD" desc:"stream of the dead letters"`
	Subject string `split_words:"true" default:"tasks.dead" desc:"subject of the dead letters"`
}
