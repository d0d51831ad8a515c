package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// The answers to a delivery (JetStream's wire protocol, "acknowledgement models").
const (
	ack        = "+ACK"
	nak        = "-NAK"
	inProgress = "+WPI"
)

// release gives up a request's lease and answers its delivery by the handler's verdict.
func (c *Consumer) release(ctx context.Context, l *lease, verdict error) {
	if p, ok := errors.AsType[*panicError](verdict); ok {
		c.metrics.panics.Inc()
		c.log.Error().Err(p).Uint64("seq", l.seq).Bytes("stack", p.stack).Msg("handler panicked, request will be redelivered")
	}
	notOwner := errors.Is(verdict, task.ErrNotOwner)
	drained := verdict != nil && ctx.Err() != nil && !notOwner
	defer c.signalFreed() // after the answer: a pull that overtook it would exceed MAX_IN_FLIGHT
	switch reply, state := c.endLease(l, c.streamCreated(context.WithoutCancel(ctx))); {
	case state == recreated:
		c.metrics.countRelease(streamRecreated)
		c.log.Warn().Uint64("seq", l.seq).Msg("request stream was recreated, delivery dropped")
	case verdict == nil:
		c.metrics.countRelease(acked)
		c.answer(reply, ack)
	case notOwner && state == renewed:
		c.metrics.countRelease(nacked)
		c.log.Info().Uint64("seq", l.seq).Msg("task was lost and its request redelivered here, starting over")
		c.answer(reply, nak)
	case notOwner, drained && state == expired:
		c.metrics.countRelease(leaseLost)
		c.log.Info().Uint64("seq", l.seq).Msg("lease lost, request left to its new owner")
	case drained:
		c.metrics.countRelease(handedOver)
		c.handOver(l, reply)
	default:
		c.metrics.countRelease(failed)
		c.log.Error().Err(verdict).Uint64("seq", l.seq).Msg("handler failed, request will be redelivered")
	}
}

// answer sends an answer to a delivery without waiting for the server. If an ack is lost, the request is redelivered,
// and its record shows that it is done.
func (c *Consumer) answer(reply, what string) { c.Batcher.Send(reply, []byte(what)) }

// streamCreated returns when the request stream was created. With NATS unreachable it is the last answer.
func (c *Consumer) streamCreated(ctx context.Context) time.Time {
	if !c.Conn.IsConnected() {
		return c.Stream.LastCreated()
	}
	return c.Stream.Created(ctx)
}

// verdictOrPanic returns the handler's verdict, or a *panicError if it panicked with a value. A panic ends the handling
// of one request and not the worker.
func verdictOrPanic(verdict error, value any) error {
	if value == nil {
		return verdict
	}
	return &panicError{value: value, stack: debug.Stack()}
}

// panicError is the verdict of a handler that panicked.
type panicError struct {
	value any
	stack []byte
}

// Error shows the type of the value but not the value, which may quote a request. Only the runtime's own messages are
// safe.
func (p *panicError) Error() string {
	if err, ok := p.value.(interface{ RuntimeError() }); ok {
		return fmt.Sprintf("panic: %v", err)
	}
	return fmt.Sprintf("panic: %T", p.value)
}
