package tracker

import "time"

// Config says where the records are and how long a finished one is kept.
type Config struct {
	Bucket string        `split_words:"true" default:"task_tracker" desc:"KV bucket of the records"`
	TTL    time.Duration `split_words:"true" default:"168h" desc:"how long a finished task is remembered; until then its id is not run again"`
}
