package operatortest

import (
	"github.com/nats-io/nats.go/jetstream"
)

// Take takes the next n requests as a worker does, and leaves them without an acknowledgement.
func (s *Site) Take(n int) {
	s.tb.Helper()
	for range n {
		s.Pull()
	}
}

// Pull takes the next request as a worker does.
func (s *Site) Pull() jetstream.Msg {
	s.tb.Helper()
	consumer, err := s.JS.Consumer(s.tb.Context(), "TASKS", "worker")
	if err != nil {
		s.tb.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		s.tb.Fatal(err)
	}
	return msg
}

// StoredRequests returns the bodies of the requests, in their order.
func (s *Site) StoredRequests() (all []string) {
	s.tb.Helper()
	for _, msg := range s.Stored("TASKS") {
		all = append(all, string(msg.Data))
	}
	return all
}

// Stored returns what a stream holds.
func (s *Site) Stored(name string) (all []*jetstream.RawStreamMsg) {
	s.tb.Helper()
	stream, err := s.JS.Stream(s.tb.Context(), name)
	if err != nil {
		s.tb.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		if msg, err := stream.GetMsg(s.tb.Context(), seq); err == nil {
			all = append(all, msg)
		}
	}
	return all
}
