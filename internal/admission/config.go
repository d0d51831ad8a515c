package admission

// Config bounds the submissions of a worker.
type Config struct {
	Concurrency int `split_words:"true" default:"16" desc:"POSTs at once"`
}
