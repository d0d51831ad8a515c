package jet

import (
	"errors"
	"net/http"

	"github.com/nats-io/nats.go/jetstream"
)

// IsRefusal reports whether JetStream answered that it did not do what a call asks for, such as store a message.
func IsRefusal(err error) bool {
	_, ok := errors.AsType[*jetstream.APIError](err)
	return ok
}

// IsUnavailable reports whether JetStream refused a call only for the moment, such as a cluster that elects its leader.
func IsUnavailable(err error) bool {
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refusal.Code == http.StatusServiceUnavailable
}

// IsFull reports whether a stream could not store a message, most likely because it is full. JetStream reports that with the
// status of a call that it cannot answer for the moment.
func IsFull(err error) bool {
	const storeFailed = 10077 // JSStreamStoreFailedF of the server's errors.json
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refusal.ErrorCode == storeFailed
}
