package streams

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long messages are kept in the streams that a worker creates. An operator may change both; a worker does not set
// them back.
const (
	ResultsAge = 7 * 24 * time.Hour  // events and large results
	DeadAge    = 30 * 24 * time.Hour // dead letters
)

// DuplicateWindow is for how long the streams that a worker creates recognize a second copy of an event, by
// its header Nats-Msg-Id. With a shorter one, workers search the stream more often before they publish an
// event again.
const DuplicateWindow = time.Hour

type (
	streamConfig = jetstream.StreamConfig
	streamRule   = rule[streamConfig]
)

// role is a stream that a worker uses, and what for.
type role struct {
	title   string // in messages, as in "bucket task_tracker"
	name    string // of the stream
	purpose string // the value of the mark
	rules   []streamRule
	fullIs  severity // what it means that the stream is full

	// isRequests marks the stream whose leader sets the worker's clock.
	isRequests bool
}

// roles returns the five streams, in the order in which they are checked: that of requests first, that of the object store
// last. If the bucket of records is full, workers cannot record submissions and are not ready. If another stream is full,
// its publishers wait or are refused.
func (c Config) roles() []role {
	return []role{
		{title: "stream " + c.Requests.Name, name: c.Requests.Name, purpose: "requests", rules: requestRules(c), fullIs: warning, isRequests: true},
		{title: "stream " + c.Results.Name, name: c.Results.Name, purpose: "results", rules: resultRules(c), fullIs: warning},
		{title: "stream " + c.Dead.Name, name: c.Dead.Name, purpose: "dead-letters", rules: deadRules(c), fullIs: warning},
		{title: "bucket " + c.Tracker, name: c.TrackerStream(), purpose: "records", rules: trackerRules(c), fullIs: fatal},
		{title: "object store " + c.Large, name: c.LargeStream(), purpose: "large-results", rules: largeRules(c), fullIs: warning},
	}
}

// requestRules keep each request in its work queue until a worker acknowledges it. A request stays there, unacknowledged,
// for as long as its task runs, so a stream that drops old messages drops running tasks.
//
// A publisher that is refused, by discard new or by a limit, notices and loses nothing. An operator may therefore limit
// the stream.
func requestRules(cfg Config) []streamRule {
	perSubject := unlimitedPerSubject("max messages per subject must be unlimited, or a new request drops one in progress")
	return slices.Concat(subjectRules(cfg.Requests.Subject), durabilityRules(cfg, "requests"), []streamRule{
		retention(jetstream.WorkQueuePolicy),
		exactly[streamConfig]("MaxAge", 0, "max age must be 0, or running tasks are cut off"),
		discardNew("discard must be new, or a full stream drops requests in progress"),
		perSubject.okIf(func(c streamConfig) bool { return c.MaxMsgsPerSubject <= 0 || c.DiscardNewPerSubject }),
		exactly[streamConfig]("AllowMsgTTL", false, "message TTL must be off, or a publisher's Nats-TTL removes requests in progress").fixable(byRecreating),
		noMarkers(),
		noRollup("requests in progress"),
		exactly[streamConfig]("AllowDirect", false, "allow direct should be off, or a lagging replica may answer whether a request still exists").withSeverity(warning),
	})
}

// resultRules keep each event until subscribers have read it, for at least an hour. A task that is submitted again after
// its end gets its stored event again, so events should be kept for as long as finished tasks are remembered.
func resultRules(cfg Config) []streamRule {
	readable := minAge("events")
	remembered := atLeast[streamConfig]("MaxAge", cfg.TrackerTTL, fmt.Sprintf("max age should be at least %v, as long as a finished task is remembered (TRACKER_TTL)", cfg.TrackerTTL))
	return slices.Concat(subjectRules(cfg.Results.Subject), renamingRules(cfg.Results.Subject), durabilityRules(cfg, "events"), logRules("events"), []streamRule{
		initially[streamConfig]("MaxAge", ResultsAge),
		initially[streamConfig]("Duplicates", DuplicateWindow),
		readable,
		remembered.okIf(func(c streamConfig) bool { return remembered.ok(c) || !readable.ok(c) }).fixable(byOperator).withSeverity(warning),
		exactly[streamConfig]("AllowDirect", false, "allow direct should be off, or a lagging replica may answer whether an event is stored").withSeverity(warning),
		atLeast[streamConfig]("MaxConsumers", 10, "max consumers should be unlimited or at least 10: workers search events, and subscribers read them").fixable(byRecreating).withSeverity(warning),
	})
}

// deadRules keep dead letters. Workers only write them, so nothing depends on how long they are kept.
func deadRules(cfg Config) []streamRule {
	return slices.Concat(subjectRules(cfg.Dead.Subject), renamingRules(cfg.Dead.Subject), durabilityRules(cfg, "dead letters"), logRules("dead letters"), []streamRule{
		initially[streamConfig]("MaxAge", DeadAge),
		initially[streamConfig]("Duplicates", DuplicateWindow),
	})
}

// logRules apply to the streams of events and of dead letters, which keep messages by age.
func logRules(what string) []streamRule {
	return slices.Concat(limitRules(what), []streamRule{
		retention(jetstream.LimitsPolicy),
		minMessageSize(4<<10, what),
		exactly[streamConfig]("AllowMsgTTL", false, fmt.Sprintf("message TTL should be off, or any publisher can make %s expire early", what)).fixable(byOperator).withSeverity(warning),
		noMarkers(),
		noRollup(what),
	})
}

// trackerRules apply to the stream behind the bucket of records. They are those of a KV bucket (NATS' ADR-8), with two
// exceptions. Reads go to the leader: any replica answers direct reads, and a worker that does not see the latest record
// would run a task twice. And the message TTL is on, by which workers let only finished records expire.
//
// All buckets have the same retention, and their subject follows from the name. Of these fields only the message TTL tells
// Capstan's bucket from another application's.
func trackerRules(cfg Config) []streamRule {
	all := cfg.RecordSubject(">")
	return slices.Concat(subjectRules(all), renamingRules(all), durabilityRules(cfg, "records"), []streamRule{
		retention(jetstream.LimitsPolicy),
		exactly[streamConfig]("AllowMsgTTL", true, "allow message TTL must be on, or finished records never expire").identifiesOwner(),
		exactly[streamConfig]("MaxMsgsPerSubject", 1, "max messages per subject must be 1"),
		exactly[streamConfig]("DiscardNewPerSubject", false, "discard new per subject must be off, or no record can change"),
		exactly[streamConfig]("AllowDirect", false, "allow direct must be off, or records are read from a lagging replica"),
		discardNew("discard must be new, or a full bucket drops records"),
		exactly[streamConfig]("MaxAge", 0, "max age must be 0, or records of running tasks expire"),
		minMessageSize(64<<10, "records"),
		{
			fields: []string{"AllowRollup", "DenyDelete"}, want: "rollup must be allowed and deletion denied, as in every bucket", fixer: byOperator,
			ok:  func(c streamConfig) bool { return c.AllowRollup && c.DenyDelete },
			set: func(c *streamConfig) { c.AllowRollup, c.DenyDelete = true, true },
		},
		exactly[streamConfig]("SubjectDeleteMarkerTTL", 0, "delete markers should be off: each expired record leaves one").withSeverity(warning),
		noSources("records of another bucket"),
	})
}

// largeRules apply to the stream behind the object store of large results (NATS' ADR-20). Chunks and the objects' metadata
// have separate subjects. An object is replaced by purging its chunks and rolling up its metadata.
func largeRules(cfg Config) []streamRule {
	chunks, meta := "$O."+cfg.Large+".C.>", "$O."+cfg.Large+".M.>"
	return slices.Concat(subjectRules(chunks), renamingRules(chunks), subjectRules(meta), renamingRules(meta), limitRules("large results"), []streamRule{
		retention(jetstream.LimitsPolicy),
		initially[streamConfig]("MaxAge", ResultsAge),
		initially[streamConfig]("AllowDirect", true),
		minAge("results"),
		minMessageSize(256<<10, "a chunk of a result"),
		exactly[streamConfig]("AllowRollup", true, "rollup must be allowed, as in every object store"),
		exactly[streamConfig]("DenyPurge", false, "purging must be allowed, or no object can be replaced").fixable(byRecreating),
		noSources("objects of another store"),
	}, durabilityRules(cfg, "large results"))
}
