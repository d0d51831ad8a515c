package jet

// MaxAckPending is how many messages a consumer can have in progress. With more, the server's scan for expired leases rarely
// completes between acknowledgments, and a dead worker's requests are redelivered too late or not at all.
const MaxAckPending = 100_000
