package streams

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// retention is the rule on what a stream keeps. NATS changes no work queue into another stream, nor back.
func retention(want jetstream.RetentionPolicy) []streamRule {
	return []streamRule{{
		fields: []string{"Retention"}, want: "retention must be " + policyName(want), isOwner: true, mender: recreate,
		got: printed(func(c streamConfig) string { return policyName(c.Retention) }),
		ok:  func(c streamConfig) bool { return c.Retention == want },
		set: func(c *streamConfig) { c.Retention = want },
	}}
}

func policyName(p jetstream.RetentionPolicy) string { return strings.ToLower(p.String()) }

// durable are the rules that hold for all streams: what is stored stays stored, and its publisher is told.
func durable(what string) []streamRule {
	return []streamRule{
		{
			fields: []string{"Storage"}, want: "storage must be file, or a restart of NATS loses " + what, mender: recreate,
			got: printed(func(c streamConfig) string { return strings.ToLower(c.Storage.String()) }),
			ok:  func(c streamConfig) bool { return c.Storage == jetstream.FileStorage },
			set: func(c *streamConfig) { c.Storage = jetstream.FileStorage },
		},
		{
			fields: []string{"PersistMode"}, want: "persist mode must be default, or NATS acknowledges what it can lose", mender: recreate,
			got: func(streamConfig) string { return "async" },
			ok:  func(c streamConfig) bool { return c.PersistMode == jetstream.DefaultPersistMode },
		},
		switchedOff("NoAck", "no ack must be off, or nobody learns what is stored",
			func(c *streamConfig) *bool { return &c.NoAck }, worker, wrong),
		switchedOff("Sealed", "it must not be sealed, or it takes nothing",
			func(c *streamConfig) *bool { return &c.Sealed }, recreate, wrong),
		switchedOff("AllowMsgCounter", "message counters must be off, or it takes counters only",
			func(c *streamConfig) *bool { return &c.AllowMsgCounter }, recreate, wrong),
		switchedOff("AllowMsgSchedules", "message schedules must be off: they exclude discard new, and remove what they replace",
			func(c *streamConfig) *bool { return &c.AllowMsgSchedules }, recreate, wrong),
	}
}

// switchedOff is the rule that a field is off.
func switchedOff(field, want string, at func(*streamConfig) *bool, m mender, l level) streamRule {
	r := streamRule{
		fields: []string{field}, want: want, mender: m, level: l,
		got: printed(func(c streamConfig) string { return onOff(*at(&c)) }),
		ok:  func(c streamConfig) bool { return !*at(&c) },
	}
	if m == worker {
		r.set = func(c *streamConfig) { *at(c) = false }
	}
	return r
}

// initial sets a value in what a worker creates, and demands nothing of what is there.
func initial(field string, set func(*streamConfig)) streamRule {
	return streamRule{
		fields: []string{field}, mender: operator, level: quiet, set: set,
		ok: func(streamConfig) bool { return true },
	}
}

func ageless(want string) streamRule {
	return streamRule{
		fields: []string{"MaxAge"}, want: want,
		got: printed(func(c streamConfig) time.Duration { return c.MaxAge }),
		ok:  func(c streamConfig) bool { return c.MaxAge == 0 },
		set: func(c *streamConfig) { c.MaxAge = 0 },
	}
}

// discardNew is the rule that a full stream refuses what is new. onlyLimited: where nothing limits the stream, it is
// never full.
func discardNew(want string, onlyLimited bool, l level) streamRule {
	return streamRule{
		fields: []string{"Discard", "MaxMsgs", "MaxBytes"}, want: want, level: l,
		got: func(c streamConfig) string { return strings.TrimPrefix(strings.ToLower(c.Discard.String()), "discard") },
		ok: func(c streamConfig) bool {
			return c.Discard == jetstream.DiscardNew || onlyLimited && c.MaxMsgs <= 0 && c.MaxBytes <= 0
		},
		set: func(c *streamConfig) { c.Discard = jetstream.DiscardNew },
	}
}

func unlimitedPerSubject(what string) streamRule {
	return streamRule{
		fields: []string{"MaxMsgsPerSubject", "DiscardNewPerSubject"},
		want:   fmt.Sprintf("max messages per subject must be unlimited, or %s are dropped or refused", what),
		got:    printed(func(c streamConfig) string { return limit(c.MaxMsgsPerSubject) }),
		ok:     func(c streamConfig) bool { return c.MaxMsgsPerSubject <= 0 },
		set:    func(c *streamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = -1, false },
	}
}

// roomy is the rule on the size of one message, in bytes.
func roomy(least int32, what string) streamRule {
	return streamRule{
		fields: []string{"MaxMsgSize"}, want: fmt.Sprintf("max message size must be unlimited, or %d bytes at least: enough for %s", least, what),
		got:    printed(func(c streamConfig) int32 { return c.MaxMsgSize }),
		ok:     func(c streamConfig) bool { return c.MaxMsgSize <= 0 || c.MaxMsgSize >= least },
		mender: operator,
	}
}

func noRollup(what string) streamRule {
	return switchedOff("AllowRollup", fmt.Sprintf("rollup must be off, or a publisher's Nats-Rollup removes %s", what),
		func(c *streamConfig) *bool { return &c.AllowRollup }, worker, wrong)
}

// noMarkers is the rule that NATS puts no messages of its own among the others. It comes before the rule on rollup,
// which markers need.
func noMarkers() streamRule {
	return streamRule{
		fields: []string{"SubjectDeleteMarkerTTL"}, want: "delete markers must be off: a worker would take one for a message",
		got: printed(func(c streamConfig) time.Duration { return c.SubjectDeleteMarkerTTL }),
		ok:  func(c streamConfig) bool { return c.SubjectDeleteMarkerTTL == 0 },
		set: func(c *streamConfig) { c.SubjectDeleteMarkerTTL = 0 },
	}
}

func unsourced(because string) streamRule {
	return streamRule{
		fields: []string{"Sources"}, want: "it must have no sources: " + because, mender: operator,
		got: printed(func(c streamConfig) int { return len(c.Sources) }),
		ok:  func(c streamConfig) bool { return len(c.Sources) == 0 },
	}
}
