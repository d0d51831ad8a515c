package jet

import "time"

const (
	// MaxAckPending is how many messages a consumer can have in progress. With more, the server's scan for expired leases
	// rarely completes between acknowledgments, and a dead worker's requests are redelivered too late or not at all.
	MaxAckPending = 100_000

	// DefaultAckPending is how many it has in progress at most while neither a setting nor the plan says how many.
	DefaultAckPending = 10_000

	// PullBatch is the most messages that one pull of a worker asks for.
	PullBatch = 64

	// PullWait is the longest time for which one pull waits. It is short because a drain waits for the pull to end: cutting
	// it off could leave messages in flight that only ACK_WAIT brings back.
	PullWait = 500 * time.Millisecond
)
