package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// The rules below apply to several streams. what names their messages, as in "events".

// durabilityRules say that messages stay stored once NATS has acknowledged them. Replicas are only ever raised: workers
// with different settings would otherwise move all data back and forth.
func durabilityRules(cfg Config, what string) []streamRule {
	return []streamRule{
		exactly[streamConfig]("Storage", jetstream.FileStorage, "storage must be file, or a restart of NATS loses "+what).fixable(byRecreating),
		exactly[streamConfig]("PersistMode", jetstream.DefaultPersistMode, "persist mode must be default, or NATS acknowledges messages that it can lose").fixable(byRecreating),
		exactly[streamConfig]("NoAck", false, "no ack must be off, or publishers cannot tell whether a message was stored"),
		exactly[streamConfig]("Sealed", false, "must not be sealed, or it accepts no messages").fixable(byRecreating),
		exactly[streamConfig]("AllowMsgCounter", false, "message counters must be off, or only counters are accepted").fixable(byRecreating),
		exactly[streamConfig]("AllowMsgSchedules", false, "message schedules must be off: they exclude discard new and remove the messages that they replace").fixable(byRecreating),
		exactly[streamConfig]("Replicas", cfg.NATS.Replicas, fmt.Sprintf("replicas should be %d, as set by NATS_REPLICAS", cfg.NATS.Replicas)).withSeverity(warning).
			okIf(func(c streamConfig) bool { return c.Replicas >= cfg.NATS.Replicas }),
	}
}

// retention is the rule on what a stream keeps: messages until they are acknowledged (work queue), or all of them within
// limits. NATS never turns a work queue into another kind of stream, nor back.
func retention(policy jetstream.RetentionPolicy) streamRule {
	return exactly[streamConfig]("Retention", policy, "retention must be "+printed(policy)).identifiesOwner().fixable(byRecreating)
}

// subjectRules say that a stream stores the messages of a subject, from publishers or from other streams. A mirror
// has no subjects, and accepts no messages from publishers.
func subjectRules(subject string) []streamRule {
	return []streamRule{
		{
			fields: []string{"Subjects", "Sources"}, want: "subjects must include " + subject, isOwner: true,
			got: func(c streamConfig) string { return "[" + strings.Join(c.Subjects, " ") + "]" },
			ok:  func(c streamConfig) bool { return len(storedAs(c, subject)) > 0 },
			set: func(c *streamConfig) { c.Subjects = append(c.Subjects, subject) },
		},
		{
			fields: []string{"Mirror"}, want: "must not be a mirror", isOwner: true, fixer: byRecreating,
			got: func(c streamConfig) string { return "a mirror of " + c.Mirror.Name },
			ok:  func(c streamConfig) bool { return c.Mirror == nil },
		},
	}
}

// renamingRules say that messages keep their subject, because they are read by it. A stream that does not store them at
// all violates another rule. Requests may be renamed, into partitions, if the consumer's filter follows.
func renamingRules(subject string) []streamRule {
	return []streamRule{{
		fields: []string{"SubjectTransform"}, want: "subjects must not be renamed", fixer: byOperator,
		got: func(c streamConfig) string { return "stored as " + strings.Join(storedAs(c, subject), ", ") },
		ok: func(c streamConfig) bool {
			patterns := storedAs(c, subject)
			return len(patterns) == 0 || slices.Contains(patterns, subject)
		},
	}}
}

// limitRules say that a full stream refuses new messages and keeps the old ones. A stream without limits is never full,
// and so its discard policy is only a preference.
func limitRules(what string) []streamRule {
	limited := discardNew("discard must be new if messages or bytes are limited, or a full stream drops " + what)
	return []streamRule{
		limited.okIf(func(c streamConfig) bool { return limited.ok(c) || c.MaxMsgs <= 0 && c.MaxBytes <= 0 }),
		discardNew("discard should be new").withSeverity(preference),
		unlimitedPerSubject(fmt.Sprintf("max messages per subject must be unlimited, or %s are dropped or refused", what)),
	}
}

// discardNew is the rule that a full stream refuses new messages. The limits decide whether a stream can be full.
func discardNew(want string) streamRule {
	r := exactly[streamConfig]("Discard", jetstream.DiscardNew, want)
	r.fields = []string{"Discard", "MaxMsgs", "MaxBytes"}
	return r
}

// unlimitedPerSubject is the rule that a subject has no limit of its own. All messages of a stream share one subject, so
// the first limit to be reached would be that one.
func unlimitedPerSubject(want string) streamRule {
	return streamRule{
		fields: []string{"MaxMsgsPerSubject", "DiscardNewPerSubject"}, want: want,
		got: func(c streamConfig) string { return printed(c.MaxMsgsPerSubject) },
		ok:  func(c streamConfig) bool { return c.MaxMsgsPerSubject <= 0 },
		set: func(c *streamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = -1, false },
	}
}

// minAge is the rule that a stream keeps its messages for an hour or more. With less, they would expire
// while a subscriber restarts. Above that the operator decides.
func minAge(what string) streamRule {
	return atLeast[streamConfig]("MaxAge", DuplicateWindow, fmt.Sprintf("max age must be at least %v, or %s expire before they are read", DuplicateWindow, what)).fixable(byOperator)
}

// minMessageSize is the rule on the largest message, in bytes. NATS refuses a larger one, so a record or an
// event could never be stored. The limit is the operator's choice, and a worker does not change it.
func minMessageSize(least int, what string) streamRule {
	return atLeast[streamConfig]("MaxMsgSize", least, fmt.Sprintf("max message size must be unlimited or at least %d bytes, enough for %s", least, what)).fixable(byOperator)
}

// noMarkers is the rule that NATS stores no messages of its own: a delete marker has no body, and would be
// read as a request, an event or a dead letter. It precedes noRollup, because markers require rollup.
func noMarkers() streamRule {
	return exactly[streamConfig]("SubjectDeleteMarkerTTL", 0, "delete markers must be off, or they are taken for messages")
}

// noRollup is the rule that no publisher can remove stored messages: one with the header Nats-Rollup replaces all of a
// subject, or of the stream.
func noRollup(what string) streamRule {
	return exactly[streamConfig]("AllowRollup", false, fmt.Sprintf("rollup must be off, or a publisher's Nats-Rollup removes %s", what))
}

// noSources is the rule that a bucket has only messages of its own clients. A worker does not remove
// sources: an operator configured them on purpose.
func noSources(what string) streamRule {
	return streamRule{
		fields: []string{"Sources"}, want: "sources must be empty, or " + what + " are taken for this one's", fixer: byOperator,
		got: func(c streamConfig) string { return printed(len(c.Sources)) },
		ok:  func(c streamConfig) bool { return len(c.Sources) == 0 },
	}
}
