package poller

import "time"

// Config bounds how often a workflow is asked after.
type Config struct {
	Interval    time.Duration `split_words:"true" default:"2s" desc:"shortest time between two polls of a task"`
	MaxInterval time.Duration `split_words:"true" default:"15s" desc:"longest time between two polls of a task"`
}
