package consumer

import "time"

// Config says how much a worker holds and for how long a request is lent to it.
type Config struct {
	Consumer         string        `split_words:"true" default:"worker" desc:"durable pull consumer, shared by all workers"`
	MaxInFlight      int           `split_words:"true" default:"1000" desc:"tasks held by this worker"`
	MaxInFlightTotal int           `split_words:"true" default:"10000" desc:"tasks held by all workers together (the consumer's MaxAckPending)"`
	AckWait          time.Duration `split_words:"true" default:"60s" desc:"a dead worker's tasks move on after this; longer than the NATS outages to ride out"`
}
