package consumer

import (
	"time"

	"github.com/capstan-worker/capstan/internal/settings"
)

const (
	// maxPending is the largest useful MaxAckPending: with more, NATS redelivers a dead worker's requests too late.
	maxPending = 100_000

	// maxInFlight lets one worker hold all of maxPending, and still have free slots.
	maxInFlight = 120_000
)

// Config says how many requests a worker holds, and how long each one is leased to it.
type Config struct {
	Consumer         string        `split_words:"true" default:"worker" desc:"durable pull consumer, shared by all workers"`
	MaxInFlight      int           `split_words:"true" default:"1000" desc:"maximum number of tasks in progress on this worker"`
	MaxInFlightTotal int           `split_words:"true" default:"10000" desc:"maximum number of tasks in progress on all workers together (the consumer's MaxAckPending)"`
	AckWait          time.Duration `split_words:"true" default:"60s" desc:"a dead worker's tasks are taken over after this; set it longer than the NATS outages you want to survive"`
}

// Validate returns a line for each mistake. Package streams checks the consumer's name.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.RequireBetween("MAX_IN_FLIGHT", c.MaxInFlight, 1, maxInFlight)
	mistakes.RequireBetween("MAX_IN_FLIGHT_TOTAL", c.MaxInFlightTotal, 1, maxPending)
	mistakes.Require("ACK_WAIT", c.AckWait, c.AckWait >= time.Second, `1s or more, such as "60s"`)
	return mistakes
}
