package operator

import (
	"maps"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/task"
)

// outgoing is a request that every worker accepts.
type outgoing struct {
	TaskID    string
	Digest    string // of its content; see task.Request.Digest
	Data      []byte
	ExpiresAt time.Time // zero for never
}

// parseOutgoing reads a request as a worker does. The error names the field and its rule.
func parseOutgoing(cfg app.Config, data []byte) (outgoing, error) {
	r, err := task.ParseRequest(task.Delivery{Stream: cfg.Request.Stream, Data: data}, task.Defaults{Timeout: cfg.Task.Timeout})
	if err != nil {
		return outgoing{}, err
	}
	return outgoing{TaskID: r.TaskID, Digest: r.Digest, Data: data, ExpiresAt: r.ExpiresAt}, nil
}

// Message returns the message of the request. It has an id made of the task's id and the request's content. So the stream
// drops a copy that comes within its duplicate window, which is how a request is sent again safely, but not a corrected
// request with the same task id: a worker refuses that with an event of its own.
func (r outgoing) Message(subject string, header nats.Header) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: r.Data}
	maps.Copy(msg.Header, header)
	msg.Header.Set(nats.MsgIdHdr, r.TaskID+"/"+r.Digest[:min(16, len(r.Digest))])
	return msg
}
