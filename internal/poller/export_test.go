package poller

// PaceKey is exported for a test of its own: a key must be legal for any kind.
var PaceKey = paceKey
