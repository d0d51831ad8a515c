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

	// Lapsed reports whether the lease of this delivery expired at some moment, so that another worker may
	// hold the request by now. Nil means never.
	Lapsed func() bool

	// Keep tells how many bytes of the request are in memory from now on. Nil: they are not counted.
	Keep func(bytes int)

	// Working tells that work on the request's content begins or has ended: reading it, and judging and
	// encoding the answer to it. A delivery that is worked on for far too long is not kept alive. Nil: that
	// is not watched.
	Working func(begins bool)
}

// DefaultID is the task id of a request that names none: "<stream>-<sequence>".
func (m Delivery) DefaultID() string { return fmt.Sprintf("%s-%d", m.Stream, m.Seq) }

// HeaderValue returns the first value of a header, or "". Its name may be spelled in any case: clients that
// carry HTTP's headers over write some in theirs.
func (m Delivery) HeaderValue(name string) string {
	for have, values := range m.Header {
		if len(values) > 0 && strings.EqualFold(have, name) {
			return values[0]
		}
	}
	return ""
}

// HasLapsed calls Lapsed where there is one.
func (m Delivery) HasLapsed() bool { return m.Lapsed != nil && m.Lapsed() }

// Keeps calls Keep where there is one.
func (m Delivery) Keeps(bytes int) {
	if m.Keep != nil {
		m.Keep(bytes)
	}
}

// Work does what is work on the request's content, between two calls of Working.
func (m Delivery) Work(do func()) {
	if m.Working != nil {
		m.Working(true)
		defer m.Working(false)
	}
	do()
}
