package capstan

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// Headers of an event; docs/messages.md describes them.
const (
	sourceHeader   = "ce-source"  // "/capstan/" and the stream of the request
	subjectHeader  = "ce-subject" // the task id
	sequenceHeader = "Capstan-Sequence"
	digestHeader   = "Capstan-Digest"
)

// lookback is how many events before the request a wait begins: the task that the request repeats may end at the moment
// when it is published.
const lookback = 1000

// firstEvent returns the sequence of the event with which a wait begins.
func (t Task) firstEvent() uint64 {
	if t.After < lookback {
		return 1
	}
	return t.After + 1 - lookback
}

// isAnswered reports whether the event with these headers and this sequence answers the request, or is that of the task
// which the request repeats. The task may have been requested with other content: then the digests differ, and a worker
// answers this request with duplicate_task. Refusals have no digest.
func (t Task) isAnswered(header nats.Header, seq uint64) bool {
	if t.Seq > 0 && seq > t.After && header.Get(sourceHeader) == "/capstan/"+t.Stream && header.Get(sequenceHeader) == strconv.FormatUint(t.Seq, 10) {
		return true
	}
	digest := header.Get(digestHeader)
	return header.Get(subjectHeader) == t.ID && digest != "" && (t.Digest == "" || t.Digest == digest)
}
