package publisher

import "github.com/capstan-worker/capstan/internal/settings"

// ResultConfig says where events go.
type ResultConfig struct {
	Stream  string `split_words:"true" default:"TASK_RESULTS" desc:"stream of the events"`
	Subject string `split_words:"true" default:"tasks.result" desc:"subject of the events"`
	Bucket  string `split_words:"true" default:"task_results" desc:"object store for results too large for a message"`
}

// DeadConfig says which requests are kept after their tasks have failed, and where they go.
type DeadConfig struct {
	Stream  string `split_words:"true" default:"TASK_DEAD" desc:"stream of the dead letters"`
	Subject string `split_words:"true" default:"tasks.dead" desc:"subject of the dead letters"`
	Keep    string `split_words:"true" default:"failed" desc:"requests kept as dead letters: failed, of all tasks that failed; invalid, only those that could not be run"`
}

// The values of DeadConfig.Keep.
const (
	// KeepFailed keeps the request of each task that failed.
	KeepFailed = "failed"

	// KeepInvalid keeps only requests that ended with invalid_request or duplicate_task.
	KeepInvalid = "invalid"
)

// Validate returns a line for each mistake, apart from those in the names, which package streams finds.
func (c DeadConfig) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.RequireOneOf("DEAD_KEEP", c.Keep, KeepFailed, KeepInvalid)
	return mistakes
}
