package streams

import "time"

// StreamFields returns, by the purpose of each stream, the fields of its configuration that a rule reads.
func StreamFields(c Config) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, role := range c.roles() {
		all[role.purpose] = fieldsOf(role.rules)
	}
	return all
}

// ConsumerFields returns the fields of the consumer's configuration that a rule reads.
func ConsumerFields(c Config) map[string]bool {
	return fieldsOf(consumerRules(c, []string{c.Requests.Subject}))
}

func fieldsOf[C any](rules []rule[C]) map[string]bool {
	known := map[string]bool{}
	for _, r := range rules {
		for _, field := range r.fields {
			known[field] = true
		}
	}
	return known
}

// StoredAs is storedAs.
var StoredAs = storedAs

// MatchesAll is matchesAll.
var MatchesAll = matchesAll

// Overlaps is overlaps.
var Overlaps = overlaps

// SetConfig changes the settings of a binding.
func SetConfig(b *Binding, cfg Config) { b.cfg = cfg }

// UnansweredSince sets when the last answer was overdue.
func UnansweredSince(b *Binding, at time.Time) { b.readiness.unansweredSince = at }

// SawTracker sets the observed state of the bucket of records.
func SawTracker(b *Binding, created time.Time, seq uint64) {
	b.observed.trackerCreated, b.observed.trackerSeq = created, seq
}

// IsUnanswered is isUnanswered.
func IsUnanswered(err error) bool { return isUnanswered(err) }

// RequestsCreated returns when the request stream was created, as of the last check; zero before the first.
func (b *Binding) RequestsCreated() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.observed.requestsCreated
}

// TrackerState returns when the stream of the records was created, and its last sequence, as of the last check.
func (b *Binding) TrackerState() (created time.Time, lastSeq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.observed.trackerCreated, b.observed.trackerSeq
}

// Entries returns how many missing permissions are remembered.
func (v *PermissionViolations) Entries() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.recent)
}
