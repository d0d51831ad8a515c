package capstan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// inactiveThreshold is after how long the server deletes a consumer that nobody reads. It is created again then.
const inactiveThreshold = 30 * time.Second

// PendingError is the error of a wait that ended before the event was stored. The task goes on. To wait again, pass its Task
// to [Client.Wait], or submit the same request.
type PendingError struct {
	Task Task
	Err  error // why the wait ended, such as context.DeadlineExceeded
}

// Error says what is known of the task.
func (e *PendingError) Error() string {
	stored := ""
	if e.Task.Seq > 0 {
		stored = fmt.Sprintf(" Its request is stored (%s, sequence %d).", e.Task.Stream, e.Task.Seq)
	}
	return fmt.Sprintf("no event of task %s yet: %v.%s The task goes on: capstan get %s shows it", e.Task.ID, e.Err, stored, e.Task.ID)
}

// Unwrap returns why the wait ended.
func (e *PendingError) Unwrap() error { return e.Err }

// Wait waits for the event of a published request, through outages and restarts of NATS. The event may be stored already.
// Of a task of which only the ID is known, it reads all stored events, and passes over refusals.
//
// If ctx ends before, the error is a *[PendingError].
func (c *Client) Wait(ctx context.Context, task Task) (Event, error) {
	stream, err := c.results(ctx)
	if err != nil {
		return Event{}, &PendingError{task, err}
	}
	consumer, err := c.follow(ctx, stream, task)
	if err != nil {
		return Event{}, &PendingError{task, err}
	}
	answers, ended := make(chan uint64), make(chan struct{})
	defer close(ended)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err != nil || !task.isAnswered(msg.Headers(), meta.Sequence.Stream) {
			return
		}
		select {
		case answers <- meta.Sequence.Stream:
		case <-ended: // nobody receives any more
		}
	})
	if err != nil {
		return Event{}, &PendingError{task, fmt.Errorf("read stream %s: %w", c.cfg.ResultStream, err)}
	}
	event, err := c.firstAnswer(ctx, stream, answers, consuming.Closed())
	consuming.Stop() // first: it would create a consumer again that is deleted
	if err != nil {
		return Event{}, &PendingError{task, err}
	}
	c.drop(ctx, consumer)
	return event, nil
}

// follow creates the consumer of a wait. It gets only the headers, because most events are other tasks'.
func (c *Client) follow(ctx context.Context, stream jetstream.Stream, task Task) (jetstream.Consumer, error) {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{c.cfg.ResultSubject}, HeadersOnly: true, InactiveThreshold: inactiveThreshold,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: task.firstEvent(),
	}
	consumer, err := retry(ctx, c.nc, func(ctx context.Context) (jetstream.Consumer, error) { return stream.OrderedConsumer(ctx, cfg) })
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", c.cfg.ResultStream, err)
	}
	return consumer, nil
}

// drop deletes the consumer of a wait. If that fails, the server does it soon.
func (c *Client) drop(ctx context.Context, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = c.js.DeleteConsumer(ctx, c.cfg.ResultStream, consumer.CachedInfo().Name)
}

// errClosed ends a wait whose connection was closed for good.
var errClosed = errors.New("the connection to NATS was closed")

// firstAnswer returns the first event that answers the request. An event that is deleted before it is read is none.
func (c *Client) firstAnswer(ctx context.Context, stream jetstream.Stream, answers <-chan uint64, closed <-chan struct{}) (Event, error) {
	for {
		select {
		case seq := <-answers:
			event, err := c.read(ctx, stream, seq)
			if !errors.Is(err, jetstream.ErrMsgNotFound) {
				return event, err
			}
		case <-closed:
			return Event{}, errClosed
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// read reads an event.
func (c *Client) read(ctx context.Context, stream jetstream.Stream, seq uint64) (event Event, _ error) {
	msg, err := retry(ctx, c.nc, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return stream.GetMsg(ctx, seq) })
	if err == nil {
		err = json.Unmarshal(msg.Data, &event)
	}
	if err != nil {
		return Event{}, fmt.Errorf("read event %d of stream %s: %w", seq, c.cfg.ResultStream, err)
	}
	return event, nil
}

// Result returns the result of an event, also if it is too large for a message: then it is read from the object store, which
// checks its digest. Of a task that failed, it is what Anchor sent. It is nil if there is none.
func (c *Client) Result(ctx context.Context, event Event) (json.RawMessage, error) {
	ref := event.ResultRef
	switch {
	case ref == nil && event.Status == Succeeded:
		return event.Result, nil
	case ref == nil:
		return event.RawResult, nil
	}
	objects, err := c.js.ObjectStore(ctx, ref.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open object store %s for the result of task %s: %w", ref.Bucket, event.TaskID, err)
	}
	result, err := objects.GetBytes(ctx, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("read the result of task %s from object store %s: %w", event.TaskID, ref.Bucket, err)
	}
	return result, nil
}
