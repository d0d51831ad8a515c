package streams_test

import (
	"maps"
	"reflect"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// harmless are the fields of a stream's configuration that can neither lose, hide nor double a task, and why.
func harmless() map[string]string {
	return map[string]string{
		"Name":               "it is how the stream was found",
		"Description":        "words",
		"Metadata":           "words; the mark is looked at before the rules",
		"Template":           "NATS supports it no longer",
		"Placement":          "where the stream is",
		"Compression":        "how it is stored",
		"FirstSeq":           "sequences are compared, and begin anywhere",
		"RePublish":          "a copy elsewhere",
		"MirrorDirect":       "of mirrors, and those are refused",
		"ConsumerLimits":     "what came of them is in the consumer, and is looked at there",
		"DenyPurge":          "workers purge none but chunks of large results",
		"AllowAtomicPublish": "publishers may send batches",
		"AllowBatchPublish":  "publishers may send batches",
	}
}

// harmlessTo are those that a single stream can do without a rule on.
func harmlessTo(purpose string) map[string]string {
	switch purpose {
	case "requests":
		return map[string]string{
			"SubjectTransform": "the consumer's filter is compared with what is stored",
			"MaxMsgSize":       "a publisher is refused",
			"MaxConsumers":     "the workers' one is there, or its creation is refused and told",
			"Duplicates":       "a publisher's choice; workers find copies by the task id",
			"DenyDelete":       "an acknowledgement removes all the same",
		}
	case "results":
		return map[string]string{"DenyDelete": "workers delete no event"}
	case "dead-letters":
		return map[string]string{
			"DenyDelete": "workers delete none", "AllowDirect": "workers read none", "MaxConsumers": "workers have none",
		}
	case "records":
		return map[string]string{
			"Duplicates": "records are written by compare-and-set, without message ids", "MaxConsumers": "workers have none",
		}
	case "large-results":
		return map[string]string{
			"Duplicates": "chunks have no message ids", "DenyDelete": "workers purge, and delete nothing", "MaxConsumers": "a reader is refused, and told",
			"AllowMsgTTL": "objects have no time to live of their own", "SubjectDeleteMarkerTTL": "a marker is no object",
		}
	default:
		return nil
	}
}

// A new version of NATS brings new fields: somebody has to decide about each.
func TestEveryFieldOfAStreamIsDecided(t *testing.T) {
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

func TestEveryFieldOfTheConsumerIsDecided(t *testing.T) {
	decided(t, reflect.TypeFor[jetstream.ConsumerConfig](), streams.ConsumerFields(defaults()), map[string]string{
		"Name":               "it is how the consumer was found",
		"Description":        "words",
		"Metadata":           "words; the mark is looked at before the rules",
		"ReplayPolicy":       "requests come later, at the pace they were published at",
		"SampleFrequency":    "for observers",
		"MaxRequestMaxBytes": "workers' pulls name no limit of bytes",
		"InactiveThreshold":  "a consumer that no worker pulls from may go: the next worker creates it, and what was held is delivered again",
		"Replicas":           "deliveries that are forgotten come again, and meet their record",
		"MemoryStorage":      "deliveries that are forgotten come again, and meet their record",
	})
}

// decided fails the test for a field that has neither a rule nor a reason, and for one that has both.
func decided(t *testing.T, config reflect.Type, known map[string]bool, reasons map[string]string) {
	t.Helper()
	all := map[string]bool{}
	for field := range config.Fields() {
		name := field.Name
		all[name] = true
		if isHarmless := reasons[name] != ""; known[name] == isHarmless {
			t.Errorf("%s: got a rule: %v, and a reason for none: %v, want one of both", name, known[name], isHarmless)
		}
	}
	for name := range known {
		if !all[name] {
			t.Errorf("a rule looks at %s, which is no field", name)
		}
	}
}
