package streams

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long events, large results and dead letters are kept.
const (
	resultsAge = 7 * 24 * time.Hour
	deadAge    = 30 * 24 * time.Hour
)

// DuplicateWindow is how long events and dead letters are told from their duplicates.
const DuplicateWindow = time.Hour

// Rule is one thing that a stream's configuration has to keep.
type Rule struct {
	Want string                            // as in "TASKS: discard must be new"
	OK   func(jetstream.StreamConfig) bool // whether it is kept
	Fix  func(*jetstream.StreamConfig)     // makes it so
	Once bool                              // only at creation: the server refuses a change, or an operator may choose
}

// RequestRules are those of the request stream.
func RequestRules(cfg Config) []Rule {
	return []Rule{
		carries(cfg.Requests.Subject),
		{
			Want: "retention must be workqueue", Once: true,
			OK:  func(c jetstream.StreamConfig) bool { return c.Retention == jetstream.WorkQueuePolicy },
			Fix: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		},
		{
			Want: "discard must be new, or a full stream drops the requests that are held",
			OK:   func(c jetstream.StreamConfig) bool { return c.Discard == jetstream.DiscardNew },
			Fix:  func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		},
		{
			Want: "max age must be 0, or it cuts tasks that run",
			OK:   func(c jetstream.StreamConfig) bool { return c.MaxAge == 0 },
			Fix:  func(c *jetstream.StreamConfig) { c.MaxAge = 0 },
		},
	}
}

// ResultRules are those of the results stream.
func ResultRules(cfg Config) []Rule {
	return []Rule{carries(cfg.Results.Subject), keptFor(resultsAge), limits(), remembers(DuplicateWindow)}
}

// DeadRules are those of the stream of dead letters.
func DeadRules(cfg Config) []Rule {
	return []Rule{carries(cfg.Dead.Subject), keptFor(deadAge), limits(), remembers(DuplicateWindow)}
}

// TrackerRules are those of the stream behind a KV bucket (ADR-8), but for the direct reads: any replica
// answers those, also one that lags.
func TrackerRules(cfg Config) []Rule {
	return []Rule{
		carries(cfg.RecordSubject(">")), limits(),
		{
			Want: "max messages per subject must be 1",
			OK:   func(c jetstream.StreamConfig) bool { return c.MaxMsgsPerSubject == 1 },
			Fix:  func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		},
		{
			Want: "allow direct must be off, or records are read from a replica that lags",
			OK:   func(c jetstream.StreamConfig) bool { return !c.AllowDirect },
			Fix:  func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		},
		{
			Want: "allow message TTL must be on",
			OK:   func(c jetstream.StreamConfig) bool { return c.AllowMsgTTL },
			Fix:  func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		},
		{
			Want: "discard must be new, or a full bucket drops records",
			OK:   func(c jetstream.StreamConfig) bool { return c.Discard == jetstream.DiscardNew },
			Fix:  func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		},
		{
			Want: "max age must be 0: records of running tasks may not expire",
			OK:   func(c jetstream.StreamConfig) bool { return c.MaxAge == 0 },
			Fix:  func(c *jetstream.StreamConfig) { c.MaxAge = 0 },
		},
		{
			Want: "rollup must be allowed and deletion denied, as in every bucket", Once: true,
			OK:  func(c jetstream.StreamConfig) bool { return c.AllowRollup && c.DenyDelete },
			Fix: func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyDelete = true, true },
		},
	}
}

func carries(subject string) Rule {
	return Rule{
		Want: "subjects must hold " + subject,
		OK: func(c jetstream.StreamConfig) bool {
			return slices.ContainsFunc(c.Subjects, func(s string) bool { return holds(s, subject) })
		},
		Fix: func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, subject) },
	}
}

// holds reports whether a subject with wildcards matches all that another one does.
func holds(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(have) > i
		case i >= len(have) || have[i] == ">" || (token != "*" && token != have[i]):
			return false
		}
	}
	return len(want) == len(have)
}

// remembers is how long a stream tells duplicates when it is made. An operator may choose otherwise: what
// the results stream has forgotten is looked up.
func remembers(window time.Duration) Rule {
	return Rule{
		Once: true,
		OK:   func(jetstream.StreamConfig) bool { return true },
		Fix:  func(c *jetstream.StreamConfig) { c.Duplicates = window },
	}
}

func limits() Rule {
	return Rule{
		Want: "retention must be limits", Once: true,
		OK:  func(c jetstream.StreamConfig) bool { return c.Retention == jetstream.LimitsPolicy },
		Fix: func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy },
	}
}

// keptFor is how long a stream keeps messages when it is made. An operator may choose otherwise.
func keptFor(age time.Duration) Rule {
	return Rule{
		Once: true,
		OK:   func(jetstream.StreamConfig) bool { return true },
		Fix:  func(c *jetstream.StreamConfig) { c.MaxAge = age },
	}
}
