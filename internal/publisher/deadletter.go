package publisher

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// DeadLetter stores a request whose task has failed on the dead-letter stream, with the task and the reason in
// headers. If the letter has no body, because that must not be kept, a header says so. Parts that make the message too large
// go to the object store, and headers name the objects.
//
// The message id is that of the request, so that of several deliveries one dead letter is stored. A
// delivery after the duplicate window of the stream stores another.
func (p *Publisher) DeadLetter(ctx context.Context, d task.Delivery, letter task.DeadLetter) error {
	msg := &nats.Msg{Subject: p.dead.Subject, Header: deadHeader(d, letter), Data: letter.Body}
	if letter.Body == nil && len(d.Data) > 0 {
		msg.Header.Set(BodyHeader, "withheld")
	}
	err := p.storeDead(ctx, msg, letter.Optional)
	name := "dead/" + deadID(d)
	if tooLarge(err) && len(letter.Body) > 0 {
		// The request fitted into a message, but not with these additional headers.
		err = p.moveBody(ctx, msg, name, letter.Optional)
	}
	if tooLarge(err) {
		// The headers alone are too large.
		err = p.moveHeaders(ctx, d, letter, msg, name+"/headers")
	}
	if err != nil {
		return fmt.Errorf("store dead letter of request %d of %s: %w", d.Seq, d.Stream, err)
	}
	p.metrics.deadLetters.WithLabelValues(string(letter.Code)).Inc()
	return nil
}

// storeDead publishes to the dead-letter stream until the stream has stored the message. It gives up if the message is too
// large, if ctx ends, or if the connection is closed, and with task.ErrLetterRefused if the stream refuses a letter that is
// optional, for example because it is full.
func (p *Publisher) storeDead(ctx context.Context, msg *nats.Msg, optional bool) error {
	_, err := jet.Retry(ctx, p.calls.dead, func(ctx context.Context) (jet.PubAck, error) {
		ack, err := p.batcher.Publish(ctx, msg)
		if tooLarge(err) {
			err = jet.Final(err)
		} else if optional && jet.IsRefusal(err) && (jet.IsFull(err) || !jet.IsUnavailable(err)) {
			err = jet.Final(fmt.Errorf("%w: %w", task.ErrLetterRefused, err))
		}
		return ack, err
	})
	return err
}

// moveBody moves a dead letter's body to the object store, and publishes the rest. It changes msg, which
// has no body afterwards.
func (p *Publisher) moveBody(ctx context.Context, msg *nats.Msg, name string, optional bool) error {
	if _, err := p.put(ctx, name, msg.Data); err != nil {
		return err
	}
	msg.Data = nil
	msg.Header.Set(ObjectHeader, p.cfg.Bucket+"/"+name)
	return p.storeDead(ctx, msg, optional)
}

// moveHeaders moves the request's headers to the object store, and publishes a dead letter without them.
func (p *Publisher) moveHeaders(ctx context.Context, d task.Delivery, letter task.DeadLetter, msg *nats.Msg, name string) error {
	headers, err := json.Marshal(d.Header)
	if err != nil {
		return fmt.Errorf("encode headers: %w", err)
	}
	if _, err := p.put(ctx, name, headers); err != nil {
		return err
	}
	// Without the request's headers, those that the worker set so far must be copied.
	bare := deadHeader(task.Delivery{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored}, letter)
	for _, own := range []string{BodyHeader, ObjectHeader} {
		if value := msg.Header.Get(own); value != "" {
			bare.Set(own, value)
		}
	}
	bare.Set(HeadersHeader, p.cfg.Bucket+"/"+name)
	msg.Header = bare
	return p.storeDead(ctx, msg, letter.Optional)
}
