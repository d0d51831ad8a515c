package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// mayBeForgotten reports whether the stream may have forgotten the id of an event that an earlier delivery stored.
// Both times are the server's. A task that is younger than half of the duplicate window costs no look.
func (p *Publisher) mayBeForgotten(ev *task.Event) bool {
	return p.clock.Now().Sub(earliest(ev)) > p.results.CachedInfo().Config.Duplicates/2
}

// maxClockSkew is how far the clock of the worker that submitted a task may be from the server's.
const maxClockSkew = 10 * time.Minute

// earliest is when an event of ev's task can have been stored at the earliest, by the server's clock: after its
// request. A copy of the request that took the task over is younger than the task.
func earliest(ev *task.Event) time.Time {
	if !ev.SubmittedAt.IsZero() && ev.SubmittedAt.Before(ev.RequestedAt) {
		return ev.SubmittedAt.Add(-maxClockSkew)
	}
	return ev.RequestedAt
}

// findStored puts the event that an earlier delivery of m stored in the place of ev, if there is one.
func (p *Publisher) findStored(ctx context.Context, m task.Delivery, ev *task.Event) (seq uint64, found bool, err error) {
	seqs, err := p.index.find(ctx, position{since: earliest(ev)}, ev.TaskID, perRequestID(ev.TaskID, m))
	if err != nil {
		return 0, false, err
	}
	for _, seq := range seqs {
		adopted, err := p.adopt(ctx, seq, ev)
		if adopted || err != nil && !errors.Is(err, task.ErrNoEvent) {
			return seq, adopted, err
		}
	}
	return 0, false, nil
}

// isStored decides whether ev is stored, where the stream took it for a duplicate of a message, and puts the stored
// event in its place.
//
// A message that is gone cannot be read: a full stream discarded it, or an operator purged it. It was this event
// if an earlier try or an earlier delivery may have sent it: subscribers have seen it, and it is not sent
// again. It was another request's if nothing of this task has been sent before, or if the stream holds
// something behind it that is older than the request.
func (p *Publisher) isStored(ctx context.Context, ack receipt, ev *task.Event, redelivered bool) (bool, error) {
	adopted, err := p.adopt(ctx, ack.Sequence, ev)
	if !errors.Is(err, task.ErrNoEvent) {
		return adopted, err
	}
	if !redelivered && !ack.retried {
		return false, nil
	}
	next, err := p.nextBehind(ctx, ack.Sequence)
	if errors.Is(err, task.ErrNoEvent) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return next.Time.After(earliest(ev)), nil
}

// adopt puts the stored event with this sequence in the place of ev, and reports whether it did: only if both answer
// the same request or tell of the same workflow, since a copy of a request may have taken over its task. The error
// is task.ErrNoEvent where the message is gone.
func (p *Publisher) adopt(ctx context.Context, seq uint64, ev *task.Event) (bool, error) {
	if err := p.reads.Acquire(ctx, 1); err != nil {
		return false, fmt.Errorf("wait to read event %d: %w", seq, err)
	}
	defer p.reads.Release(1)
	msg, err := p.read(ctx, seq)
	if err != nil {
		return false, err
	}
	var stored task.Event
	if json.Unmarshal(msg.Data, &stored) != nil {
		return false, nil // another program's message
	}
	sameRun := stored.WorkflowID != "" && stored.WorkflowID == ev.WorkflowID
	same := stored.TaskID == ev.TaskID && (sameRun || stored.RequestedAt.Equal(ev.RequestedAt))
	if same {
		*ev = stored
	}
	return same, nil
}

// nextBehind returns the first event that is stored behind a sequence, or task.ErrNoEvent.
func (p *Publisher) nextBehind(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	return p.read(ctx, seq+1, jetstream.WithGetMsgSubject(p.cfg.Subject))
}

// read returns the message with this sequence, or task.ErrNoEvent.
func (p *Publisher) read(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return jet.Retry(ctx, p.calls.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := p.results.GetMsg(ctx, seq, opts...)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = jet.Final(task.ErrNoEvent)
		}
		return msg, err
	})
}
