package poller

import (
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/settings"
)

// Config bounds the time between two polls of one workflow.
type Config struct {
	Interval    time.Duration `split_words:"true" default:"2s" desc:"shortest time between two polls of a task; may drop to a quarter of this around the age at which similar tasks usually end"`
	MaxInterval time.Duration `split_words:"true" default:"15s" desc:"longest time between two polls of a task"`
}

// Validate returns a line for each mistake, with the name of the setting; none means that the settings can
// be used.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.Require("POLL_INTERVAL", c.Interval, c.Interval >= time.Millisecond, `1ms or more, such as "2s"`)
	mistakes.Require("POLL_MAX_INTERVAL", c.MaxInterval, c.MaxInterval >= c.Interval, fmt.Sprintf("POLL_INTERVAL (%v) or more", c.Interval))
	return mistakes
}
