package publisher

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/task"
)

// Bury stores a request that cannot be run among the dead letters, with the reason in a header. data is
// the request's bytes, its secrets taken out.
func (p *Publisher) Bury(ctx context.Context, m task.Message, data []byte, reason string) error {
	msg := &nats.Msg{Subject: p.dead.Subject, Header: deadHeader(m, reason), Data: data}
	_, err := p.publish(ctx, p.calls.dead, msg)
	if tooLarge(err) { // what came in fitted, but not with the headers that tell why it is here
		name := "dead." + m.DefaultID()
		if _, err = p.put(ctx, name, data); err == nil {
			msg.Data = nil
			msg.Header.Set(ObjectHeader, p.cfg.Bucket+"/"+name)
			_, err = p.publish(ctx, p.calls.dead, msg)
		}
		if tooLarge(err) { // it is the headers that are large
			err = p.buryHeaders(ctx, m, msg, name+".headers")
		}
	}
	if err != nil {
		return fmt.Errorf("bury request %d of %s: %w", m.Seq, m.Stream, err)
	}
	p.metrics.deadLetters.Inc()
	return nil
}

// buryHeaders publishes a dead letter without the request's own headers, which go to the object store.
func (p *Publisher) buryHeaders(ctx context.Context, m task.Message, letter *nats.Msg, name string) error {
	headers, err := json.Marshal(m.Header)
	if err != nil {
		return fmt.Errorf("encode headers: %w", err)
	}
	if _, err := p.put(ctx, name, headers); err != nil {
		return err
	}
	body := letter.Header.Get(ObjectHeader)
	letter.Header = deadHeader(task.Message{Stream: m.Stream, Seq: m.Seq}, letter.Header.Get(ReasonHeader))
	letter.Header.Set(ObjectHeader, body)
	letter.Header.Set(HeadersHeader, p.cfg.Bucket+"/"+name)
	_, err = p.publish(ctx, p.calls.dead, letter)
	return err
}
