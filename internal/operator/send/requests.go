package send

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// Request is a request that every worker accepts.
type Request struct {
	TaskID    string
	Digest    string // of its content; see task.Request.Digest
	Data      []byte
	ExpiresAt time.Time // zero for never
}

// ParseRequest reads a request as a worker does. The error names the field and its rule.
func ParseRequest(cfg app.Config, data []byte) (Request, error) {
	r, err := task.ParseRequest(task.Delivery{Stream: cfg.Request.Stream, Data: data}, task.Defaults{Timeout: cfg.Task.Timeout})
	if err != nil {
		return Request{}, err
	}
	return Request{TaskID: r.TaskID, Digest: r.Digest, Data: data, ExpiresAt: r.ExpiresAt}, nil
}

// Message returns the message of the request. It has an id made of the task's id and the request's content. So the stream
// drops a copy that comes within its duplicate window, which is how a request is sent again safely, but not a corrected
// request with the same task id: a worker refuses that with an event of its own.
func (r Request) Message(subject string, header nats.Header) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: r.Data}
	maps.Copy(msg.Header, header)
	msg.Header.Set(nats.MsgIdHdr, r.TaskID+"/"+r.Digest[:min(16, len(r.Digest))])
	return msg
}

// Requests is like All, for requests. The error is in words for people.
func Requests(ctx context.Context, q operator.Queue, n int, message Source, done Done) (Fates, error) {
	all, err := All(ctx, q, n, message, done)
	subject, url := q.Config.Request.Subject, q.Conn.ConnectedUrlRedacted()
	refusal, isRefused := errors.AsType[*jetstream.APIError](err)
	_, hasNoMessage := errors.AsType[messageError](err)
	switch {
	case err == nil, errors.Is(err, context.Canceled), hasNoMessage:
		return all, err
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return all, fmt.Errorf("no stream listens on %s at %s; start a worker first, it creates the streams", subject, url)
	case isRefused:
		return all, fmt.Errorf("%s refuses the requests: %s (%d)", url, refusal.Description, refusal.ErrorCode)
	default:
		return all, fmt.Errorf("publish to %s: %w", subject, err)
	}
}
