package task

import (
	"fmt"
	"time"
)

// Message is one delivery of a request, as it came from its stream.
type Message struct {
	Stream     string              // the stream that stores the request
	Seq        uint64              // its sequence in that stream
	Stored     time.Time           // when the stream stored it
	Deliveries uint64              // how often it was delivered, this time included; a hint, not a fact
	Header     map[string][]string // as published
	Data       []byte              // as published

	// Lapsed reports whether ACK_WAIT passed at some moment of this delivery without a heartbeat, so
	// that somebody else may hold the request by now. Nil means never.
	Lapsed func() bool
}

// DefaultID is the task id of a request that names none: "<stream>-<sequence>".
func (m Message) DefaultID() string { return fmt.Sprintf("%s-%d", m.Stream, m.Seq) }

// HasLapsed calls Lapsed where there is one.
func (m Message) HasLapsed() bool { return m.Lapsed != nil && m.Lapsed() }
