package streams_test

import (
	"maps"
	"reflect"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// harmless are the fields of a stream's configuration that cannot lose, hide or duplicate a task, and why.
func harmless() map[string]string {
	return map[string]string{
		"Name":               "the stream is found by it",
		"Description":        "free text",
		"Metadata":           "free text; the mark is checked before the rules",
		"Template":           "NATS no longer supports it",
		"Placement":          "where the stream is stored",
		"Compression":        "how it is stored",
		"FirstSeq":           "sequences are only compared with each other",
		"RePublish":          "copies go elsewhere",
		"MirrorDirect":       "only for mirrors, which violate a rule",
		"ConsumerLimits":     "they show in the consumer, which has rules of its own",
		"DenyPurge":          "workers purge only chunks of large results",
		"AllowAtomicPublish": "publishers may send batches",
		"AllowBatchPublish":  "publishers may send batches",
	}
}

// harmlessTo are those of one stream only.
func harmlessTo(purpose string) map[string]string {
	switch purpose {
	case "requests":
		return map[string]string{
			"SubjectTransform": "the consumer's filter is compared with what is stored",
			"MaxMsgSize":       "publishers are refused, and notice",
			"MaxConsumers":     "the workers' consumer exists, or its refused creation is reported",
			"Duplicates":       "the publisher's choice; workers recognize copies by the task id",
			"DenyDelete":       "an ack removes the message nonetheless",
		}
	case "results":
		return map[string]string{"DenyDelete": "workers delete no event"}
	case "dead-letters":
		return map[string]string{
			"DenyDelete": "workers delete no dead letter", "AllowDirect": "workers read no dead letter", "MaxConsumers": "workers have none",
		}
	case "records":
		return map[string]string{
			"Duplicates": "records are written by compare-and-set, without message ids", "MaxConsumers": "workers have none",
		}
	case "large-results":
		return map[string]string{
			"Duplicates": "chunks have no message ids", "DenyDelete": "workers purge, and delete nothing", "MaxConsumers": "readers are refused, and notice",
			"AllowMsgTTL": "objects have no TTL", "SubjectDeleteMarkerTTL": "a marker is no object",
		}
	default:
		return nil
	}
}

// A new version of NATS has new fields, and someone must decide about each.
func TestEveryFieldOfAStreamHasARuleOrAReason(t *testing.T) {
	for purpose, known := range streams.StreamFields(defaults()) {
		t.Run(purpose, func(t *testing.T) {
			reasons := harmless()
			maps.Copy(reasons, harmlessTo(purpose))
			if purpose == "large-results" {
				delete(reasons, "DenyPurge")
			}
			decided(t, reflect.TypeFor[jetstream.StreamConfig](), known, reasons)
		})
	}
}

func TestEveryFieldOfTheConsumerHasARuleOrAReason(t *testing.T) {
	decided(t, reflect.TypeFor[jetstream.ConsumerConfig](), streams.ConsumerFields(defaults()), map[string]string{
		"Name":               "the consumer is found by it",
		"Description":        "free text",
		"Metadata":           "free text; the mark is checked before the rules",
		"ReplayPolicy":       "it only delays requests",
		"SampleFrequency":    "only for observers",
		"MaxRequestMaxBytes": "workers' pulls have no limit of bytes",
		"InactiveThreshold":  "the next worker recreates it, and requests in progress are redelivered",
		"Replicas":           "forgotten deliveries are redelivered, and their record is found",
		"MemoryStorage":      "forgotten deliveries are redelivered, and their record is found",
	})
}

// decided fails the test for a field that has neither a rule nor a reason for having none, or both.
func decided(t *testing.T, config reflect.Type, known map[string]bool, reasons map[string]string) {
	t.Helper()
	all := map[string]bool{}
	for field := range config.Fields() {
		name := field.Name
		all[name] = true
		if isHarmless := reasons[name] != ""; known[name] == isHarmless {
			t.Errorf("%s: got a rule: %v, and a reason for none: %v, want one of them", name, known[name], isHarmless)
		}
	}
	for name := range known {
		if !all[name] {
			t.Errorf("a rule reads %s, which is not a field", name)
		}
	}
}
