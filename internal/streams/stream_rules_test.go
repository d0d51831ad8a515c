package streams_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// streamViolation is a change to a stream that could lose, hide or duplicate a task.
type streamViolation struct {
	name     string
	stream   string
	edit     func(*jetstream.StreamConfig)
	says     string
	isNew    bool // NATS accepts it only in a new stream
	repaired bool // by a worker with NATS_PROVISION
	ready    bool // the worker is ready, with a warning
}

func streamViolations() []streamViolation {
	const tasks, results, dead, records, large = "TASKS", "TASK_RESULTS", "TASK_DEAD", "KV_task_tracker", "OBJ_task_results"
	bucket := "bucket task_tracker: "
	return []streamViolation{
		{"requests are dropped per subject", tasks, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 3 }, "stream TASKS: max messages per subject must be unlimited, or a new request drops one in progress (got 3)", false, true, false},
		{"requests expire", tasks, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max age must be 0, or running tasks are cut off (got 1h0m0s)", false, true, false},
		{"a full stream drops requests", tasks, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard must be new, or a full stream drops requests in progress (got old)", false, true, false},
		{"a publisher's rollup", tasks, func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "rollup must be off", false, true, false},
		{"a publisher's time to live", tasks, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, "message TTL must be off", false, false, false},
		{"delete markers", results, func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Minute }, "delete markers must be off", false, true, false},
		{"requests without acknowledgement", tasks, func(c *jetstream.StreamConfig) { c.NoAck = true }, "no ack must be off", false, true, false},
		{"requests in memory", tasks, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage must be file, or a restart of NATS loses requests (got memory)", true, false, false},
		{"acknowledged before it is written", tasks, func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode must be default", true, false, false},
		{"a counter", results, func(c *jetstream.StreamConfig) { c.AllowMsgCounter, c.Discard = true, jetstream.DiscardOld }, "message counters must be off", true, false, false},
		{"schedules", tasks, func(c *jetstream.StreamConfig) { c.AllowMsgSchedules, c.Discard = true, jetstream.DiscardOld }, "message schedules must be off", false, false, false},
		{"a sealed stream", dead, func(c *jetstream.StreamConfig) { c.Sealed = true }, "stream TASK_DEAD: must not be sealed", false, false, false},
		{"direct reads of requests", tasks, func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "allow direct should be off", false, true, true},
		{"other retention", tasks, func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy }, "retention must be workqueue (got limits)", true, false, false},

		{"events without acknowledgement", results, func(c *jetstream.StreamConfig) { c.NoAck = true }, "stream TASK_RESULTS: no ack must be off", false, true, false},
		{"a full stream drops events", results, func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<30 }, "discard must be new if messages or bytes are limited", false, true, false},
		{"a full stream drops dead letters", dead, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 1000 }, "discard must be new if messages or bytes are limited", false, true, false},
		{"events are dropped per subject", results, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "max messages per subject must be unlimited", false, true, false},
		{"events are refused per subject", results, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 5, true }, "max messages per subject must be unlimited", false, true, false},
		{"events expire at once", results, func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Minute, time.Minute }, "max age must be at least 1h0m0s", false, false, false},
		{"events expire before records", results, func(c *jetstream.StreamConfig) { c.MaxAge = 24 * time.Hour }, "max age should be at least 168h0m0s", false, false, true},
		{"events do not fit", results, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1024 }, "max message size must be unlimited or at least 4096 bytes", false, false, false},
		{"rollup of events", results, func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "rollup must be off, or a publisher's Nats-Rollup removes events", false, true, false},
		{"time to live of events", results, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, "message TTL should be off", false, false, true},
		{"events under another subject", results, func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "tasks.result", Destination: "done.{{random(4)}}"}
		}, "subjects must not be renamed (got stored as done.*)", false, false, false},
		{"few consumers", results, func(c *jetstream.StreamConfig) { c.MaxConsumers = 2 }, "max consumers should be unlimited", true, false, true},

		{"records without acknowledgement", records, func(c *jetstream.StreamConfig) { c.NoAck = true }, bucket + "no ack must be off", false, true, false},
		{"records in memory", records, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, bucket + "storage must be file, or a restart of NATS loses records (got memory)", true, false, false},
		{"records expire", records, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, bucket + "max age must be 0", false, true, false},
		{"records are read from a replica", records, func(c *jetstream.StreamConfig) { c.AllowDirect = true }, bucket + "allow direct must be off", false, true, false},
		{"a history of records", records, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, bucket + "max messages per subject must be 1 (got 5)", false, true, false},
		{"records cannot change", records, func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true }, bucket + "discard new per subject must be off", false, true, false},
		{"a full bucket drops records", records, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, bucket + "discard must be new", false, true, false},
		{"records do not fit", records, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4096 }, bucket + "max message size must be unlimited or at least ", false, false, false},
		{"markers of expired records", records, func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Minute }, bucket + "delete markers should be off", false, true, true},
		{"a bucket without deletion denied", records, func(c *jetstream.StreamConfig) { c.DenyDelete = false }, bucket + "rollup must be allowed and deletion denied", true, false, false},

		{"a full object store drops results", large, func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<30 }, "object store task_results: discard must be new if messages or bytes are limited", false, true, false},
		{"large results expire before their events", large, func(c *jetstream.StreamConfig) { c.MaxAge = 24 * time.Hour }, "max age should be that of TASK_RESULTS, or events refer to results that have expired (got 24h0m0s)", false, false, true},
		{"large results expire at once", large, func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Minute, time.Minute }, "max age must be at least 1h0m0s", false, false, false},
		{"no rollup of objects", large, func(c *jetstream.StreamConfig) { c.AllowRollup = false }, "rollup must be allowed", false, true, false},
		{"objects cannot be replaced", large, func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false }, "purging must be allowed", true, false, false},
		{"a sealed object store", large, func(c *jetstream.StreamConfig) { c.Sealed = true }, "object store task_results: must not be sealed", false, false, false},
		{"chunks do not fit", large, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 64 << 10 }, "max message size must be unlimited or at least ", false, false, false},
	}
}

// Readiness, a dry run and provisioning read the same rules.
func TestSettingsThatCouldLoseATaskAreReportedOrRepaired(t *testing.T) {
	t.Parallel()
	for _, v := range streamViolations() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cfg := defaults()
			w.provision(cfg)
			if v.isNew {
				w.replace(v.stream, v.edit)
				w.provisionConsumer(cfg)
			} else {
				w.change(v.stream, v.edit)
			}
			before := w.configs(v.stream)
			binds := cfg
			binds.NATS.Provision = false
			if v.ready {
				w.accepts(binds, v.says)
			} else {
				w.refuses(binds, v.says)
			}
			found := w.dryRun(cfg)
			if level := map[bool]string{true: "warning: ", false: "fatal: "}[v.ready || v.repaired]; !containsLine(found, level, v.says) {
				t.Errorf("a dry run: got\n%s\nwant a line %q with %q", found, level, v.says)
			}
			if after := w.configs(v.stream); after != before {
				t.Errorf("got\n%s\nafter a check and a dry run, want\n%s", after, before)
			}
			switch ready, says := w.readyz(cfg); {
			case v.repaired && (!ready || strings.Contains(says, v.says)):
				t.Errorf("with provision: got %v, %q, want it repaired", ready, says)
			case !v.repaired && !strings.Contains(says, v.says):
				t.Errorf("with provision: got %v, %q, want %q in it", ready, says, v.says)
			}
		})
	}
}

// A publisher that is refused loses nothing.
func TestAPerSubjectLimitThatRefusesPublishersIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	w.change("TASKS", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 3, true })
	w.accepts(cfg, "bound")
	if got := w.stream("TASKS").Config; got.MaxMsgsPerSubject != 3 {
		t.Errorf("got %d messages per subject, want the operator's 3", got.MaxMsgsPerSubject)
	}
}

// The documentation promises that a full stream refuses messages.
func TestCreatedStreamsRefuseMessagesWhenFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provision(defaults())
	for _, name := range []string{"TASKS", "TASK_RESULTS", "TASK_DEAD", "KV_task_tracker", "OBJ_task_results"} {
		got := w.stream(name).Config
		if got.Discard != jetstream.DiscardNew || got.Storage != jetstream.FileStorage || got.Metadata["capstan"] == "" {
			t.Errorf("%s: got discard %v, storage %v, metadata %v, want new, file, and a mark", name, got.Discard, got.Storage, got.Metadata)
		}
	}
	if got := w.stream("TASK_RESULTS").Config; got.MaxAge != 7*24*time.Hour || got.Duplicates != time.Hour {
		t.Errorf("events: got max age %v and window %v", got.MaxAge, got.Duplicates)
	}
	if got := w.stream("TASK_DEAD").Config; got.MaxAge != 30*24*time.Hour {
		t.Errorf("dead letters: got max age %v", got.MaxAge)
	}
	if got := w.stream("OBJ_task_results").Config; !got.AllowDirect || !got.AllowRollup || got.MaxAge != 7*24*time.Hour {
		t.Errorf("large results: got %+v", got)
	}
	if _, err := w.js.ObjectStore(t.Context(), "task_results"); err != nil {
		t.Error(err)
	}
	if _, err := w.js.KeyValue(t.Context(), "task_tracker"); err != nil {
		t.Error(err)
	}
}

// TRACKER_TTL is compared with the age of events, and does not decide it.
func TestCreatedStreamsKeepEventsForAWeek(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	cfg.TrackerTTL = 30 * 24 * time.Hour
	w.accepts(cfg, "stream TASK_RESULTS: max age should be at least 720h0m0s", "(got 168h0m0s)")
	if got, want := w.stream("TASK_RESULTS").Config.MaxAge, 7*24*time.Hour; got != want {
		t.Errorf("max age: got %v, want %v", got, want)
	}
}
