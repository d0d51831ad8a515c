package admission

import "github.com/capstan-worker/capstan/internal/settings"

// maxConcurrency is more submissions at once than any plan allows.
const maxConcurrency = 100_000

// Config bounds the submissions of a worker.
type Config struct {
	Concurrency int `split_words:"true" default:"16" desc:"maximum number of concurrent submissions"`
}

// Validate returns a line for each mistake.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.RequireBetween("SUBMIT_CONCURRENCY", c.Concurrency, 1, maxConcurrency)
	return mistakes
}
