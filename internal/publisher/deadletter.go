package publisher

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// DeadLetter stores a request that cannot be run among the dead letters, with the reason in a header. data is
// the request's bytes, its secrets taken out, or nil where the body is not to be kept: the letter then
// says so in a header.
func (p *Publisher) DeadLetter(ctx context.Context, m task.Delivery, data []byte, reason string) error {
	msg := &nats.Msg{Subject: p.dead.Subject, Header: deadHeader(m, reason), Data: data}
	if data == nil && len(m.Data) > 0 {
		msg.Header.Set(BodyHeader, "withheld")
	}
	err := p.storeDead(ctx, msg)
	name := "dead/" + deadID(m)
	if tooLarge(err) && len(data) > 0 { // the request fitted, but not with the headers that tell why it is here
		err = p.moveBody(ctx, msg, name)
	}
	if tooLarge(err) { // it is the headers that are large
		err = p.moveHeaders(ctx, m, msg, name+"/headers")
	}
	if err != nil {
		return fmt.Errorf("bury request %d of %s: %w", m.Seq, m.Stream, err)
	}
	p.metrics.deadLetters.Inc()
	return nil
}

func (p *Publisher) storeDead(ctx context.Context, msg *nats.Msg) error {
	_, err := jet.Retry(ctx, p.calls.dead, func(ctx context.Context) (jet.PubAck, error) {
		ack, err := p.batcher.Publish(ctx, msg)
		if tooLarge(err) {
			err = jet.Final(err)
		}
		return ack, err
	})
	return err
}

// moveBody publishes a dead letter whose body is in the object store.
func (p *Publisher) moveBody(ctx context.Context, msg *nats.Msg, name string) error {
	if _, err := p.put(ctx, name, msg.Data); err != nil {
		return err
	}
	msg.Data = nil
	msg.Header.Set(ObjectHeader, p.cfg.Bucket+"/"+name)
	return p.storeDead(ctx, msg)
}

// moveHeaders publishes a dead letter without the request's own headers, which go to the object store.
func (p *Publisher) moveHeaders(ctx context.Context, m task.Delivery, msg *nats.Msg, name string) error {
	headers, err := json.Marshal(m.Header)
	if err != nil {
		return fmt.Errorf("encode headers: %w", err)
	}
	if _, err := p.put(ctx, name, headers); err != nil {
		return err
	}
	bare := deadHeader(task.Delivery{Stream: m.Stream, Seq: m.Seq, Stored: m.Stored}, msg.Header.Get(ReasonHeader))
	for _, own := range []string{BodyHeader, ObjectHeader} {
		if value := msg.Header.Get(own); value != "" {
			bare.Set(own, value)
		}
	}
	bare.Set(HeadersHeader, p.cfg.Bucket+"/"+name)
	msg.Header = bare
	return p.storeDead(ctx, msg)
}
