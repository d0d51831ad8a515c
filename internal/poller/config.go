package poller

import "time"

// Config bounds how often a workflow is polled.
type Config struct {
	Interval    time.Duration `split_words:"true" default:"2s" desc:"shortest time between two polls of a task; a quarter of it where tasks of its kind are known to end"`
	MaxInterval time.Duration `split_words:"true" default:"15s" desc:"longest time between two polls of a task"`
}
