package poller

// PaceKey is exported for a test of its own: a key must be legal for any kind.
var PaceKey = paceKey

// ParseLearned returns why a shared value is not understood, or nil.
func ParseLearned(value []byte) error {
	_, err := parseLearned(value)
	return err
}
