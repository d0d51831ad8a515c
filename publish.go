package capstan

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Task is a published request, and what is needed to recognize its event. It can be kept as JSON, for a wait after a
// restart. Without the result of Publish, a Task with only an ID stands for the task with this id, whoever published it.
type Task struct {
	ID     string `json:"id"`
	Stream string `json:"stream,omitempty"` // that stores the request
	Seq    uint64 `json:"seq,omitzero"`     // of the request in that stream
	Digest string `json:"digest,omitempty"` // of the request's content
	After  uint64 `json:"after,omitzero"`   // the last event before the request was published
}

// Submit publishes a request and waits for its event. The event of a task that failed is not an error; see [Event.Err].
//
// The request may repeat an earlier one with the same TaskID: then the event is that of the task that runs or has ended, and
// nothing runs twice. If the earlier one had other content, the event has the code duplicate_task.
//
// If ctx ends before the event is stored, the error is a *[PendingError], and the task goes on.
func (c *Client) Submit(ctx context.Context, r Request) (Event, error) {
	task, err := c.Publish(ctx, r)
	if err != nil {
		return Event{}, err
	}
	return c.Wait(ctx, task)
}

// Publish publishes a request and returns when it is stored. Through an outage of NATS it tries again until ctx ends; the
// stream recognizes copies. The error says whether the request may be stored.
func (c *Client) Publish(ctx context.Context, r Request) (Task, error) {
	r.TaskID = cmp.Or(r.TaskID, rand.Text())
	if err := r.check(); err != nil {
		return Task{}, fmt.Errorf("task %.100q: %w", r.TaskID, err)
	}
	data, err := encode(r)
	if err != nil {
		return Task{}, fmt.Errorf("task %s: %w", r.TaskID, err)
	}
	task := Task{ID: r.TaskID}
	if task.Digest, err = digestOf(data); err != nil {
		return Task{}, fmt.Errorf("task %s: %w", r.TaskID, err)
	}
	results, err := c.results(ctx)
	if err != nil {
		return Task{}, fmt.Errorf("task %s was not published: %w", r.TaskID, err)
	}
	task.After = results.CachedInfo().State.LastSeq
	ack, err := c.publish(ctx, task.ID, data)
	if err != nil {
		return Task{}, err
	}
	task.Stream, task.Seq = ack.Stream, ack.Sequence
	return task, nil
}

// encode returns the JSON of a request. A prompt with < or & stays readable.
func encode(r Request) ([]byte, error) {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return bytes.TrimSpace(data.Bytes()), nil
}

// results returns the stream of events, with how far it is now.
func (c *Client) results(ctx context.Context) (jetstream.Stream, error) {
	stream, err := retry(ctx, c.nc, func(ctx context.Context) (jetstream.Stream, error) { return c.js.Stream(ctx, c.cfg.ResultStream) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("no stream %s at %s: start a worker first, it creates the streams", c.cfg.ResultStream, c.nc.ConnectedUrlRedacted())
	}
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", c.cfg.ResultStream, err)
	}
	return stream, nil
}

// publish stores a request. The message id is new for each request, and the same for all attempts to store it: a worker
// answers a request that repeats an earlier one, while the stream would drop it without a word.
func (c *Client) publish(ctx context.Context, taskID string, data []byte) (*jetstream.PubAck, error) {
	msg := &nats.Msg{Subject: c.cfg.RequestSubject, Data: data, Header: nats.Header{nats.MsgIdHdr: {taskID + "/" + rand.Text()}}}
	ack, err := retry(ctx, c.nc, func(ctx context.Context) (*jetstream.PubAck, error) { return c.js.PublishMsg(ctx, msg) })
	refused, isRefused := errors.AsType[*jetstream.APIError](err)
	switch {
	case err == nil:
		return ack, nil
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		err = fmt.Errorf("no stream listens on %s: start a worker first, it creates the streams", c.cfg.RequestSubject)
	case errors.Is(err, nats.ErrMaxPayload):
		err = fmt.Errorf("the request has %d bytes, and the server accepts %d", len(data), c.nc.MaxPayload())
	case isRefused:
		err = fmt.Errorf("the stream refused the request: %s (%d)", refused.Description, refused.ErrorCode)
	case !errors.Is(err, nats.ErrPermissionViolation):
		return nil, fmt.Errorf("task %s may or may not be published (to be sure, submit it again with this task id; it does not run twice): %w", taskID, err)
	}
	return nil, fmt.Errorf("task %s was not published: %w", taskID, err)
}
