package jet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PubAck is what a stream says of a message that it has stored.
type PubAck struct {
	Sequence  uint64 // of the message, or of the one that it is a duplicate of
	Duplicate bool   // the stream had a message with this Nats-Msg-Id, and stored nothing
}

// read reads the answer of a stream (ADR-1, "PubAck").
func read(msg *nats.Msg) (PubAck, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return PubAck{}, jetstream.ErrNoStreamResponse
	}
	if sequence, ok := plain(msg.Data); ok {
		return PubAck{Sequence: sequence}, nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return PubAck{}, fmt.Errorf("%w: %w", jetstream.ErrInvalidJSAck, err)
	}
	switch {
	case answer.Error != nil:
		return PubAck{}, answer.Error
	case answer.Stream == "" || answer.Sequence == 0:
		return PubAck{}, jetstream.ErrInvalidJSAck
	}
	return PubAck{Sequence: answer.Sequence, Duplicate: answer.Duplicate}, nil
}

// plain reads the answer {"stream":"NAME","seq":7}, which nearly all are, and reports whether it is one.
func plain(data []byte) (sequence uint64, ok bool) {
	rest, named := bytes.CutPrefix(data, []byte(`{"stream":"`))
	_, rest, closed := bytes.Cut(rest, []byte(`"`))
	rest, numbered := bytes.CutPrefix(rest, []byte(`,"seq":`))
	rest, ended := bytes.CutSuffix(rest, []byte(`}`))
	if !named || !closed || !numbered || !ended {
		return 0, false
	}
	sequence, err := strconv.ParseUint(string(rest), 10, 64)
	return sequence, err == nil && sequence > 0
}
