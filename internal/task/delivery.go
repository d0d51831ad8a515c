package task

import (
	"fmt"
	"strings"
	"time"
)

// Delivery is one delivery of a request, as it came from its stream.
type Delivery struct {
	Stream     string              // the stream that stores the request
	Seq        uint64              // its sequence in that stream
	Stored     time.Time           // when the stream stored it
	Deliveries uint64              // how often it was delivered, this time included; a hint, not a fact
	Header     map[string][]string // as published
	Data       []byte              // as published

	// LeaseExpired reports whether the lease of this delivery expired at some moment, so that another worker may
	// be working on the request by now. Nil means never.
	LeaseExpired func() bool

	// OnSize is called with the number of bytes of the request that stay in memory from now on. It may be nil.
	OnSize func(bytes int)

	// OnBusy is called with true when the worker begins to read the request or to judge and encode its answer, and
	// with false when that is done. A delivery that stays busy for far too long gets no more heartbeats. It may be nil.
	OnBusy func(busy bool)
}

// CopiesWithin is how long before or after its task's end a copy of a request may be published, if the bucket of records
// has forgotten the task. A later copy is taken for a new request.
const CopiesWithin = time.Hour

// DefaultID returns the task id of a request that names none: "<stream>-<sequence>".
func (d Delivery) DefaultID() string { return fmt.Sprintf("%s-%d", d.Stream, d.Seq) }

// HeaderValue returns the first value of a header, or "" if the header is missing. Case does not matter: clients
// that forward HTTP headers spell some of them in their own way.
func (d Delivery) HeaderValue(name string) string {
	for key, values := range d.Header {
		if len(values) > 0 && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

// LostLease reports whether the lease expired at some moment. It is false if LeaseExpired is nil.
func (d Delivery) LostLease() bool { return d.LeaseExpired != nil && d.LeaseExpired() }

// ReportSize calls OnSize, unless it is nil.
func (d Delivery) ReportSize(bytes int) {
	if d.OnSize != nil {
		d.OnSize(bytes)
	}
}

// WhileBusy calls f between two calls of OnBusy: first with true, then with false. Wrap everything in it
// whose time depends on the content of a request or of its answer. The second call comes even if f panics.
func (d Delivery) WhileBusy(f func()) {
	if d.OnBusy != nil {
		d.OnBusy(true)
		defer d.OnBusy(false)
	}
	f()
}

// withoutContent returns the delivery without its data and headers, except for the trace, so that a request
// does not keep the memory of its message.
func (d Delivery) withoutContent() Delivery {
	d.Data, d.Header = nil, traceOf(d)
	return d
}

// DeadLetter is a request that is kept because its task failed.
type DeadLetter struct {
	Body   []byte // of the request, without its secrets; nil if it must not be kept
	Reason string // why it failed, for people
	TaskID string
	Code   Code
	Host   string // of the request's url; empty if it is not known
	Batch  string // empty for none

	// Optional says that the task's end does not wait while the stream refuses the letter.
	Optional bool
}

// DeliveryCount counts the deliveries of one request that ended without progress. It is kept in the bucket of the
// records, but under the request's place in its stream and not under its task id: a request that crashes each worker
// that reads it never gets as far as telling its id.
type DeliveryCount struct {
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Stored time.Time `json:"stored"`            // when the stream stored the request
	Count  int       `json:"count"`             // deliveries since the last progress, this one included
	TaskID string    `json:"task_id,omitempty"` // empty if the request could not be read
}

// DeliveriesPrefix begins the keys of the counts. Task ids have no slash, so these keys differ from the records' keys.
const DeliveriesPrefix = "deliveries/"

// BelongsTo reports whether the count is of the same message as the delivery. The sequence alone does not identify a
// message: a stream that was recreated starts again from 1.
func (c DeliveryCount) BelongsTo(d Delivery) bool { return c.Seq == d.Seq && c.Stored.Equal(d.Stored) }
