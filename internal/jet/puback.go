package jet

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PubAck is a stream's answer to a message that it has stored, or that is a duplicate of a stored one.
type PubAck struct {
	Sequence  uint64 // of the stored message
	Duplicate bool   // the stream had a message with this Nats-Msg-Id, and stored nothing
}

// otherDomainError says that a stream of another JetStream domain has stored a message. The stream that the message is
// for may have stored it as well, and answers for itself.
type otherDomainError struct{ stream, domain, want string }

// Error implements error.
func (e *otherDomainError) Error() string {
	return fmt.Sprintf("stored by stream %s of the JetStream domain %q, not known to be stored in the domain %q", e.stream, e.domain, e.want)
}

// parsePubAck reads a stream's answer (NATS ADR-1). The error is the stream's own *jetstream.APIError,
// jetstream.ErrNoStreamResponse if no stream listens on the subject, or jetstream.ErrInvalidJSAck. If domain is not
// empty, it is an *otherDomainError for an answer from another domain. A refusal does not say where it comes from.
func parsePubAck(msg *nats.Msg, domain string) (PubAck, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return PubAck{}, jetstream.ErrNoStreamResponse
	}
	var response struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	if err := json.Unmarshal(msg.Data, &response); err != nil {
		return PubAck{}, fmt.Errorf("%w: %w", jetstream.ErrInvalidJSAck, err)
	}
	switch {
	case response.Error != nil:
		return PubAck{}, response.Error
	case response.Stream == "" || response.Sequence == 0:
		return PubAck{}, jetstream.ErrInvalidJSAck
	case domain != "" && response.Domain != domain:
		return PubAck{}, &otherDomainError{response.Stream, response.Domain, domain}
	}
	return PubAck{Sequence: response.Sequence, Duplicate: response.Duplicate}, nil
}

// IsConflict reports whether a stream refused a message because the expected revision is not the subject's last. A
// replicated stream has a second code for that: another write of the subject was under way.
func IsConflict(err error) bool {
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
