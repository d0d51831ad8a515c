package app

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

// duplicateWindow is how long events and dead letters are told from their duplicates.
const duplicateWindow = time.Hour

// rule is one thing that a stream's configuration has to keep.
type rule struct {
	want string                            // as in "TASKS: discard must be new"
	ok   func(jetstream.StreamConfig) bool // whether it is kept
	fix  func(*jetstream.StreamConfig)     // makes it so
	once bool                              // only at creation: the server refuses a change, or an operator may choose
}

func requestRules(cfg Config) []rule {
	return []rule{
		carries(cfg.Request.Subject),
		{
			want: "retention must be workqueue", once: true,
			ok:  func(c jetstream.StreamConfig) bool { return c.Retention == jetstream.WorkQueuePolicy },
			fix: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		},
		{
			want: "discard must be new, or a full stream drops the requests that are held",
			ok:   func(c jetstream.StreamConfig) bool { return c.Discard == jetstream.DiscardNew },
			fix:  func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		},
		{
			want: "max age must be 0, or it cuts tasks that run",
			ok:   func(c jetstream.StreamConfig) bool { return c.MaxAge == 0 },
			fix:  func(c *jetstream.StreamConfig) { c.MaxAge = 0 },
		},
	}
}

func resultRules(cfg Config) []rule {
	return []rule{carries(cfg.Result.Subject), keptFor(resultsAge), limits(), remembers(duplicateWindow)}
}

func deadRules(cfg Config) []rule {
	return []rule{carries(cfg.Dead.Subject), keptFor(deadAge), limits(), remembers(duplicateWindow)}
}

// trackerRules are those of the stream behind a KV bucket (ADR-8), but for the direct reads: any replica
// answers those, also one that lags.
func trackerRules(cfg Config) []rule {
	return []rule{
		carries(cfg.Tracker.Subject(">")), limits(),
		{
			want: "max messages per subject must be 1",
			ok:   func(c jetstream.StreamConfig) bool { return c.MaxMsgsPerSubject == 1 },
			fix:  func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		},
		{
			want: "allow direct must be off, or records are read from a replica that lags",
			ok:   func(c jetstream.StreamConfig) bool { return !c.AllowDirect },
			fix:  func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		},
		{
			want: "allow message TTL must be on",
			ok:   func(c jetstream.StreamConfig) bool { return c.AllowMsgTTL },
			fix:  func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		},
		{
			want: "discard must be new, or a full bucket drops records",
			ok:   func(c jetstream.StreamConfig) bool { return c.Discard == jetstream.DiscardNew },
			fix:  func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		},
		{
			want: "max age must be 0: records of running tasks may not expire",
			ok:   func(c jetstream.StreamConfig) bool { return c.MaxAge == 0 },
			fix:  func(c *jetstream.StreamConfig) { c.MaxAge = 0 },
		},
		{
			want: "rollup must be allowed and deletion denied, as in every bucket", once: true,
			ok:  func(c jetstream.StreamConfig) bool { return c.AllowRollup && c.DenyDelete },
			fix: func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyDelete = true, true },
		},
	}
}

func carries(subject string) rule {
	return rule{
		want: "subjects must hold " + subject,
		ok: func(c jetstream.StreamConfig) bool {
			return slices.ContainsFunc(c.Subjects, func(s string) bool { return holds(s, subject) })
		},
		fix: func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, subject) },
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
func remembers(window time.Duration) rule {
	return rule{
		once: true,
		ok:   func(jetstream.StreamConfig) bool { return true },
		fix:  func(c *jetstream.StreamConfig) { c.Duplicates = window },
	}
}

func limits() rule {
	return rule{
		want: "retention must be limits", once: true,
		ok:  func(c jetstream.StreamConfig) bool { return c.Retention == jetstream.LimitsPolicy },
		fix: func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy },
	}
}

// keptFor is how long a stream keeps messages when it is made. An operator may choose otherwise.
func keptFor(age time.Duration) rule {
	return rule{
		once: true,
		ok:   func(jetstream.StreamConfig) bool { return true },
		fix:  func(c *jetstream.StreamConfig) { c.MaxAge = age },
	}
}
