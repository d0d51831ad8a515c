package publisher

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/task"
)

// Headers of Capstan's own.
const (
	ReplayHeader  = "Capstan-Replay"  // "true" on an event that is published again for a repeated request
	ReasonHeader  = "Capstan-Reason"  // on a dead letter: which field broke which rule
	HeadersHeader = "Capstan-Headers" // on a dead letter: "<bucket>/<object>" that holds the request's headers, as JSON
	ObjectHeader  = "Capstan-Object"  // on a dead letter without a body: "<bucket>/<object>" that holds it
	BodyHeader    = "Capstan-Body"    // "withheld" on a dead letter whose body is not kept, since it may hold secrets

	// originalPrefix stands before a request's header that is the server's or Capstan's own: on a dead letter it
	// would steer the publishing, or look as if a worker had written it.
	originalPrefix = "Capstan-Original-"
)

// Headers of CloudEvents 1.0 that are read here, too.
const (
	idHeader      = "ce-id"
	subjectHeader = "ce-subject"
)

// The headers of W3C Trace Context: a request's go onto its event.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// maxTraceHeader bounds what is copied of a trace header, in bytes; W3C asks for 512 of tracestate.
const maxTraceHeader = 512

// eventHeader returns the headers of an event: the message id by which the stream tells duplicates, the
// CloudEvents 1.0 attributes in binary mode, and the request's trace.
func eventHeader(m task.Delivery, ev *task.Event, id string) nats.Header {
	h := nats.Header{}
	h.Set(nats.MsgIdHdr, id)
	h.Set("content-type", "application/json")
	h.Set("ce-specversion", "1.0")
	h.Set(idHeader, id)
	h.Set("ce-source", "/capstan/"+m.Stream)
	h.Set("ce-type", "dev.capstan.task."+string(ev.Status))
	h.Set("ce-time", ev.FinishedAt.Format(time.RFC3339Nano))
	h.Set(subjectHeader, ev.TaskID)
	copyTrace(h, m)
	return h
}

// replayHeader returns a stored event's headers for one more publication, in answer to m.
func replayHeader(stored nats.Header, m task.Delivery, id string) nats.Header {
	h := nats.Header{}
	for name, values := range stored {
		if !steers(name) && name != traceParent && name != traceState {
			h[name] = values
		}
	}
	h.Set(nats.MsgIdHdr, id)
	h.Set(idHeader, id)
	h.Set(ReplayHeader, "true")
	copyTrace(h, m)
	return h
}

// maxReason bounds the reason on a dead letter, in bytes.
const maxReason = 1 << 10

// deadHeader returns a dead letter's headers: the request's own, a message id that no other request has, and the
// reason. Those that are the server's or Capstan's get a prefix: an expectation or a time to live that the request
// was published with is not meant for the dead letter.
func deadHeader(m task.Delivery, reason string) nats.Header {
	h := nats.Header{}
	for name, values := range m.Header {
		if steers(name) || isCapstans(name) {
			name = originalPrefix + name
		}
		h[name] = values
	}
	h.Set(nats.MsgIdHdr, deadID(m))
	h.Set("Capstan-Stream", m.Stream)
	h.Set("Capstan-Sequence", fmt.Sprint(m.Seq))
	h.Set(ReasonHeader, oneLine(reason))
	return h
}

// deadID returns the message id of a request's dead letter. The sequences of a stream that is recreated start over,
// so that the time belongs to it.
func deadID(m task.Delivery) string { return perRequestID(m.Stream, m) }

// isCapstans reports whether a header's name is Capstan's own.
func isCapstans(name string) bool { return strings.HasPrefix(strings.ToLower(name), "capstan-") }

// steers reports whether a header tells the server what to do with a message.
func steers(name string) bool { return strings.HasPrefix(strings.ToLower(name), "nats-") }

func copyTrace(h nats.Header, m task.Delivery) {
	for _, name := range []string{traceParent, traceState} {
		if v := m.HeaderValue(name); v != "" && len(v) <= maxTraceHeader {
			h.Set(name, v)
		}
	}
}

// dropTrace takes the request's trace off an event that does not fit into a message.
func dropTrace(h nats.Header) {
	h.Del(traceParent)
	h.Del(traceState)
}

// oneLine makes text fit for a header.
func oneLine(text string) string {
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
