package consumer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/settings"
)

const (
	// maxInFlight lets one worker hold all that the consumer delivers (jet.MaxAckPending), and still have free slots.
	maxInFlight = 120_000
)

// Config says how many requests a worker holds, and how long each one is leased to it.
type Config struct {
	Consumer         string        `split_words:"true" default:"worker" desc:"durable pull consumer, shared by all workers"`
	MaxInFlight      int           `split_words:"true" default:"1000" desc:"maximum number of tasks in progress on this worker"`
	MaxInFlightTotal Total         `split_words:"true" default:"auto" desc:"maximum number of tasks in progress on all workers together; auto: the browsers of the plan, fewer while Anchor refuses more, 10000 if the plan has no limit"`
	AckWait          time.Duration `split_words:"true" default:"60s" desc:"a dead worker's tasks are taken over after this; set it longer than the NATS outages you want to survive"`
}

// Total bounds the tasks in progress on all workers: auto, or a number.
type Total string

const auto Total = "auto"

// Most returns the number, or 0 for auto. It returns -1 for a text that is neither.
func (t Total) Most() int {
	if t == auto {
		return 0
	}
	n, err := strconv.Atoi(string(t))
	if err != nil || n == 0 {
		return -1
	}
	return n
}

// Validate returns a line for each mistake. Package streams checks the consumer's name.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.RequireBetween("MAX_IN_FLIGHT", c.MaxInFlight, 1, maxInFlight)
	total := c.MaxInFlightTotal.Most()
	mistakes.Require("MAX_IN_FLIGHT_TOTAL", c.MaxInFlightTotal, c.MaxInFlightTotal == auto || 1 <= total && total <= jet.MaxAckPending,
		fmt.Sprintf("auto, or a whole number from 1 to %d", jet.MaxAckPending))
	mistakes.Require("ACK_WAIT", c.AckWait, c.AckWait >= time.Second, `1s or more, such as "60s"`)
	return mistakes
}
