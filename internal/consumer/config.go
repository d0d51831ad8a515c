package consumer

import "time"

// Config sets how many requests workers have in progress, and for how long NATS leases each to its worker.
type Config struct {
	Consumer         string        `split_words:"true" default:"worker" desc:"durable pull consumer, shared by all workers"`
	MaxInFlight      int           `split_words:"true" default:"1000" desc:"tasks in progress on this worker"`
	MaxInFlightTotal int           `split_words:"true" default:"10000" desc:"tasks in progress on all workers together (the consumer's MaxAckPending)"`
	AckWait          time.Duration `split_words:"true" default:"60s" desc:"a dead worker's tasks are taken over after this; set it longer than the NATS outages to survive"`
}
