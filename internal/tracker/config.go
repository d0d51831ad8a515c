package tracker

import "time"

// Config names the bucket of the records, and sets how long it keeps a finished one.
type Config struct {
	Bucket string        `split_words:"true" default:"task_tracker" desc:"KV bucket of the records"`
	TTL    time.Duration `split_words:"true" default:"168h" desc:"how long a finished task is remembered; during that time its id does not run again"`
}
