package streams

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long events, large results and dead letters are kept, in what a worker creates.
const (
	resultsAge = 7 * 24 * time.Hour
	deadAge    = 30 * 24 * time.Hour
)

// DuplicateWindow is for how long the streams that a worker creates tell a second copy of an event.
const DuplicateWindow = time.Hour

type (
	streamConfig = jetstream.StreamConfig
	streamRule   = rule[streamConfig]
)

// role is a stream that a worker uses, and what for.
type role struct {
	what    string // as messages name it
	name    string // of the stream
	purpose string // the value of the mark
	rules   []streamRule
	full    level // what it means that the stream takes no more
}

// roles returns the five streams, in the order in which they are looked at.
func (c Config) roles() []role {
	results := c.resultsRole()
	return []role{
		{
			what: "stream " + c.Requests.Name, name: c.Requests.Name, purpose: "requests", rules: requestRules(c), full: warning,
		},
		results,
		{
			what: "stream " + c.Dead.Name, name: c.Dead.Name, purpose: "dead-letters", rules: deadRules(c), full: warning,
		},
		{
			what: "bucket " + c.Tracker, name: c.TrackerStream(), purpose: "records", rules: trackerRules(c), full: wrong,
		},
		{
			what: "object store " + c.Large, name: c.LargeStream(), purpose: "large-results", rules: largeRules(c), full: warning,
		},
	}
}

func (c Config) resultsRole() role {
	return role{what: "stream " + c.Results.Name, name: c.Results.Name, purpose: "results", rules: resultRules(c), full: warning}
}

func requestRules(cfg Config) []streamRule {
	return slices.Concat(
		carried(cfg.Requests.Subject, false), retention(jetstream.WorkQueuePolicy),
		[]streamRule{
			ageless("max age must be 0, or running tasks are cut off"),
			discardNew("discard must be new, or a full stream drops requests that are held", false, wrong),
			{
				fields: []string{"MaxMsgsPerSubject", "DiscardNewPerSubject"},
				want:   "max messages per subject must be unlimited, or a new request drops one that is held",
				got:    printed(func(c streamConfig) string { return limit(c.MaxMsgsPerSubject) }),
				ok:     func(c streamConfig) bool { return c.MaxMsgsPerSubject <= 0 || c.DiscardNewPerSubject },
				set:    func(c *streamConfig) { c.MaxMsgsPerSubject = -1 },
			},
			switchedOff("AllowMsgTTL", "message TTL must be off, or a publisher's Nats-TTL removes requests that are held",
				func(c *streamConfig) *bool { return &c.AllowMsgTTL }, recreate, wrong),
			noMarkers(),
			noRollup("requests that are held"),
			switchedOff("AllowDirect", "allow direct should be off, or a replica that lags answers whether a request is still there",
				func(c *streamConfig) *bool { return &c.AllowDirect }, worker, warning),
		},
		durable("requests"),
		replicated(cfg),
	)
}

func resultRules(cfg Config) []streamRule {
	return slices.Concat(
		carried(cfg.Results.Subject, true),
		retention(jetstream.LimitsPolicy),
		eventsKept(cfg),
		logRules("events"),
		[]streamRule{
			switchedOff("AllowDirect", "allow direct should be off, or a replica that lags answers whether an event is stored",
				func(c *streamConfig) *bool { return &c.AllowDirect }, worker, warning),
			{
				fields: []string{"MaxConsumers"},
				want:   "max consumers should be unlimited, or 10 at least: workers look through events, and subscribers read them",
				got:    printed(func(c streamConfig) int { return c.MaxConsumers }),
				ok:     func(c streamConfig) bool { return c.MaxConsumers <= 0 || c.MaxConsumers >= 10 },
				mender: recreate, level: warning,
			},
		},
		durable("events"),
		replicated(cfg),
	)
}

// eventsKept are the rules on the age of events. An operator may choose it, within reason.
func eventsKept(cfg Config) []streamRule {
	age := printed(func(c streamConfig) time.Duration { return c.MaxAge })
	keeps := func(least time.Duration) func(streamConfig) bool {
		return func(c streamConfig) bool { return c.MaxAge == 0 || c.MaxAge >= least }
	}
	return []streamRule{
		initial("MaxAge", func(c *streamConfig) { c.MaxAge = resultsAge }),
		initial("Duplicates", func(c *streamConfig) { c.Duplicates = DuplicateWindow }),
		{
			fields: []string{"MaxAge"}, want: fmt.Sprintf("max age must be %v at least, or events are gone before they are read", DuplicateWindow), got: age,
			ok: keeps(DuplicateWindow), mender: operator,
		},
		{
			fields: []string{"MaxAge"}, want: fmt.Sprintf("max age should be %v at least, as long as a finished task is remembered (TRACKER_TTL)", cfg.TrackerTTL), got: age,
			ok:     func(c streamConfig) bool { return keeps(cfg.TrackerTTL)(c) || !keeps(DuplicateWindow)(c) },
			mender: operator, level: warning,
		},
	}
}

func deadRules(cfg Config) []streamRule {
	return slices.Concat(
		carried(cfg.Dead.Subject, true), retention(jetstream.LimitsPolicy),
		[]streamRule{
			initial("MaxAge", func(c *streamConfig) { c.MaxAge = deadAge }),
			initial("Duplicates", func(c *streamConfig) { c.Duplicates = DuplicateWindow }),
		},
		logRules("dead letters"),
		durable("dead letters"),
		replicated(cfg),
	)
}

// logRules are those of the streams that keep what workers publish.
func logRules(what string) []streamRule {
	return []streamRule{
		discardNew(fmt.Sprintf("discard must be new with a limit on bytes or messages, or a full stream drops %s", what), true, wrong),
		discardNew("discard should be new", false, quiet),
		unlimitedPerSubject(what),
		roomy(4<<10, what),
		switchedOff("AllowMsgTTL", fmt.Sprintf("message TTL should be off, or whoever may publish here can make %s expire early", what),
			func(c *streamConfig) *bool { return &c.AllowMsgTTL }, operator, warning),
		noMarkers(),
		noRollup(what),
	}
}

// trackerRules are those of the stream behind the bucket of records (ADR-8), but for the direct reads: any
// replica answers those, also one that lags.
func trackerRules(cfg Config) []streamRule {
	return slices.Concat(
		carried(cfg.RecordSubject(">"), true),
		retention(jetstream.LimitsPolicy),
		[]streamRule{
			{
				fields: []string{"AllowMsgTTL"}, want: "allow message TTL must be on, or finished records never expire", isOwner: true,
				ok:  func(c streamConfig) bool { return c.AllowMsgTTL },
				set: func(c *streamConfig) { c.AllowMsgTTL = true },
			},
			{
				fields: []string{"MaxMsgsPerSubject"}, want: "max messages per subject must be 1",
				got: printed(func(c streamConfig) string { return limit(c.MaxMsgsPerSubject) }),
				ok:  func(c streamConfig) bool { return c.MaxMsgsPerSubject == 1 },
				set: func(c *streamConfig) { c.MaxMsgsPerSubject = 1 },
			},
			switchedOff("DiscardNewPerSubject", "discard new per subject must be off, or no record can change",
				func(c *streamConfig) *bool { return &c.DiscardNewPerSubject }, worker, wrong),
			switchedOff("AllowDirect", "allow direct must be off, or records are read from a replica that lags",
				func(c *streamConfig) *bool { return &c.AllowDirect }, worker, wrong),
			discardNew("discard must be new, or a full bucket drops records", false, wrong),
			ageless("max age must be 0, or records of running tasks expire"),
			roomy(64<<10, "records"),
			{
				fields: []string{"AllowRollup", "DenyDelete"}, want: "rollup must be allowed and deletion denied, as in every bucket",
				ok:     func(c streamConfig) bool { return c.AllowRollup && c.DenyDelete },
				set:    func(c *streamConfig) { c.AllowRollup, c.DenyDelete = true, true },
				mender: operator,
			},
			{
				fields: []string{"SubjectDeleteMarkerTTL"}, want: "delete markers should be off: each expired record leaves one",
				got:   printed(func(c streamConfig) time.Duration { return c.SubjectDeleteMarkerTTL }),
				ok:    func(c streamConfig) bool { return c.SubjectDeleteMarkerTTL == 0 },
				set:   func(c *streamConfig) { c.SubjectDeleteMarkerTTL = 0 },
				level: warning,
			},
			unsourced("records of another bucket would be taken for this one's"),
		},
		durable("records"),
		replicated(cfg),
	)
}

// largeRules are those of the stream behind the object store (ADR-20).
func largeRules(cfg Config) []streamRule {
	chunks, meta := "$O."+cfg.Large+".C.>", "$O."+cfg.Large+".M.>"
	return slices.Concat(
		carried(chunks, true), carried(meta, true), retention(jetstream.LimitsPolicy),
		[]streamRule{
			initial("MaxAge", func(c *streamConfig) { c.MaxAge = resultsAge }),
			initial("AllowDirect", func(c *streamConfig) { c.AllowDirect = true }),
			{
				fields: []string{"MaxAge"}, want: fmt.Sprintf("max age must be %v at least, or results are gone before they are read", DuplicateWindow),
				got:    printed(func(c streamConfig) time.Duration { return c.MaxAge }),
				ok:     func(c streamConfig) bool { return c.MaxAge == 0 || c.MaxAge >= DuplicateWindow },
				mender: operator,
			},
			discardNew("discard must be new with a limit on bytes or messages, or a full store drops results", true, wrong),
			discardNew("discard should be new", false, quiet),
			unlimitedPerSubject("large results"),
			roomy(256<<10, "a chunk of a result"),
			{
				fields: []string{"AllowRollup"}, want: "rollup must be allowed, as in every object store",
				ok:  func(c streamConfig) bool { return c.AllowRollup },
				set: func(c *streamConfig) { c.AllowRollup = true },
			},
			switchedOff("DenyPurge", "purging must be allowed, or no object can be replaced",
				func(c *streamConfig) *bool { return &c.DenyPurge }, recreate, wrong),
			unsourced("objects of another store would be taken for this one's"),
		},
		durable("large results"),
		replicated(cfg),
	)
}

// replicated is the rule on NATS_REPLICAS. Replicas are only ever raised.
func replicated(cfg Config) []streamRule {
	return []streamRule{{
		fields: []string{"Replicas"}, want: fmt.Sprintf("replicas should be %d, as NATS_REPLICAS says", cfg.NATS.Replicas),
		got:   printed(func(c streamConfig) int { return c.Replicas }),
		ok:    func(c streamConfig) bool { return c.Replicas >= cfg.NATS.Replicas },
		set:   func(c *streamConfig) { c.Replicas = cfg.NATS.Replicas },
		level: warning,
	}}
}

// carried are the rules on how messages reach a stream. asIs says that they must keep their subject.
func carried(subject string, asIs bool) []streamRule {
	rules := []streamRule{
		{
			fields: []string{"Subjects", "Sources"}, want: "subjects must hold " + subject, isOwner: true,
			got: printed(func(c streamConfig) string { return "[" + strings.Join(c.Subjects, " ") + "]" }),
			ok:  func(c streamConfig) bool { return len(storedAs(c, subject)) > 0 },
			set: func(c *streamConfig) { c.Subjects = append(c.Subjects, subject) },
		},
		{
			fields: []string{"Mirror"}, want: "it must not be a mirror", isOwner: true, mender: recreate,
			got: func(c streamConfig) string { return "a mirror of " + c.Mirror.Name },
			ok:  func(c streamConfig) bool { return c.Mirror == nil },
		},
	}
	if asIs {
		rules = append(rules, streamRule{
			fields: []string{"SubjectTransform"}, want: "the subject must be kept",
			got: func(c streamConfig) string { return "stored as " + strings.Join(storedAs(c, subject), ", ") },
			ok: func(c streamConfig) bool {
				as := storedAs(c, subject)
				return len(as) == 0 || slices.Contains(as, subject)
			},
			mender: operator,
		})
	}
	return rules
}
