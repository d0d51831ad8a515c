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
	// "true" on an event that is published again for a repeated request.
	ReplayHeader = "Capstan-Replay"
	// On an event: the digest of its request's content, by which copies of the request are recognized.
	DigestHeader = "Capstan-Digest"
	// On an event and on a dead letter: the code of the failure, and the batch of the task.
	CodeHeader  = "Capstan-Code"
	BatchHeader = "Capstan-Batch"
	// On an event and on a dead letter: the sequence of the request. The stream is in SourceHeader and in StreamHeader.
	SequenceHeader = "Capstan-Sequence"
	// On a dead letter: the stream of the request.
	StreamHeader = "Capstan-Stream"
	// On a dead letter: the id of the task, the host of its url, and why it failed.
	TaskHeader   = "Capstan-Task-Id"
	HostHeader   = "Capstan-Host"
	ReasonHeader = "Capstan-Reason"
	// On a dead letter: "<bucket>/<object>" that holds the request's headers, as JSON.
	HeadersHeader = "Capstan-Headers"
	// On a dead letter without a body: "<bucket>/<object>" that holds it.
	ObjectHeader = "Capstan-Object"
	// "withheld" on a dead letter whose body is not kept, since it may hold secrets.
	BodyHeader = "Capstan-Body"

	// OriginalPrefix is put before the request's headers whose names are reserved for NATS or Capstan. Unchanged, they
	// would control how the dead letter is stored, or look as if a worker had written them.
	OriginalPrefix = "Capstan-Original-"
)

// Headers of CloudEvents 1.0 that are also read.
const (
	idHeader = "ce-id"
	// On an event: SourcePrefix and the stream of the request that it answers.
	SourceHeader = "ce-source"
	SourcePrefix = "/capstan/"
	// On an event: the id of the task.
	SubjectHeader = "ce-subject"
)

// The headers of W3C Trace Context, which are copied from a request to its event.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// maxTraceHeader is the size in bytes up to which a trace header is copied. W3C asks for 512 for tracestate.
const maxTraceHeader = 512

// contentType is the type of an event.
const contentType = "application/json"

// eventHeader returns the headers of an event: the message id by which the stream detects duplicates, the CloudEvents 1.0
// attributes in binary mode, and the request's trace.
func eventHeader(d task.Delivery, ev *task.Event, id string) nats.Header {
	h := nats.Header{}
	h.Set(nats.MsgIdHdr, id)
	h.Set("content-type", contentType)
	h.Set("ce-specversion", "1.0")
	h.Set(idHeader, id)
	h.Set(SourceHeader, SourcePrefix+d.Stream)
	h.Set("ce-type", "dev.capstan.task."+string(ev.Status))
	h.Set("ce-time", ev.FinishedAt.Format(time.RFC3339Nano))
	h.Set(SubjectHeader, ev.TaskID)
	h.Set("ce-datacontenttype", contentType)
	h.Set("ce-dataschema", task.EventSchemaID)
	h.Set(SequenceHeader, fmt.Sprint(d.Seq))
	if ev.Digest != "" {
		h.Set(DigestHeader, ev.Digest)
	}
	if ev.Error != nil {
		h.Set(CodeHeader, string(ev.Error.Code))
	}
	if ev.Batch != "" {
		h.Set(BatchHeader, ev.Batch)
	}
	copyTrace(h, d)
	return h
}

// replayHeader returns a stored event's headers for a replay that answers d. It drops what controlled how
// the stored event was stored, and its trace, which is that of the first request.
func replayHeader(stored nats.Header, d task.Delivery, id string) nats.Header {
	h := nats.Header{}
	for name, values := range stored {
		if !controlsServer(name) && name != traceParent && name != traceState {
			h[name] = values
		}
	}
	h.Set(nats.MsgIdHdr, id)
	h.Set(idHeader, id)
	h.Set(ReplayHeader, "true")
	h.Set(SourceHeader, SourcePrefix+d.Stream)
	h.Set(SequenceHeader, fmt.Sprint(d.Seq))
	copyTrace(h, d)
	return h
}

// maxReason is the size in bytes to which the reason on a dead letter is shortened.
const maxReason = 1 << 10

// deadHeader returns a dead letter's headers: those of the request, a message id that no other request has, the task,
// and the reason. Headers reserved for NATS or Capstan get a prefix: an expectation or a time to live that the request was
// published with is not meant for the dead letter.
func deadHeader(d task.Delivery, letter task.DeadLetter) nats.Header {
	h := nats.Header{}
	for name, values := range d.Header {
		if controlsServer(name) || isCapstanHeader(name) {
			name = OriginalPrefix + name
		}
		h[name] = values
	}
	h.Set(nats.MsgIdHdr, deadID(d))
	h.Set(StreamHeader, d.Stream)
	h.Set(SequenceHeader, fmt.Sprint(d.Seq))
	h.Set(ReasonHeader, task.OneLine(letter.Reason, maxReason))
	for name, value := range map[string]string{
		TaskHeader: letter.TaskID, CodeHeader: string(letter.Code), HostHeader: letter.Host, BatchHeader: letter.Batch,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

// deadID returns the message id of a request's dead letter. It includes the time, because the sequences of a recreated
// stream start over.
func deadID(d task.Delivery) string { return perRequestID(d.Stream, d) }

// isCapstanHeader reports whether a header's name is reserved for Capstan.
func isCapstanHeader(name string) bool { return strings.HasPrefix(strings.ToLower(name), "capstan-") }

// controlsServer reports whether a header tells the NATS server what to do with a message. Their names
// begin with "Nats-", in any case.
func controlsServer(name string) bool { return strings.HasPrefix(strings.ToLower(name), "nats-") }

// copyTrace copies the request's trace headers, unless they are too long.
func copyTrace(h nats.Header, d task.Delivery) {
	for _, name := range []string{traceParent, traceState} {
		if v := d.HeaderValue(name); v != "" && len(v) <= maxTraceHeader {
			h.Set(name, v)
		}
	}
}

// dropTrace removes the trace headers from an event that does not fit into a message.
func dropTrace(h nats.Header) {
	h.Del(traceParent)
	h.Del(traceState)
}
