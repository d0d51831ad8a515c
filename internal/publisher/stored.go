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

// mayBeForgotten reports whether the stream may have forgotten the id of an event that an earlier delivery
// stored. It compares times of the server. For a task younger than half of the duplicate window no search
// is needed. The other half is a margin, since the event is stored some time after this question.
func (p *Publisher) mayBeForgotten(ev *task.Event) bool {
	return p.clock.Now().Sub(earliest(ev)) > p.results.CachedInfo().Config.Duplicates/2
}

// maxClockSkew is how far the clock of the worker that submitted a task may be from the server's. A search that starts
// by the worker's clock starts this much earlier.
const maxClockSkew = 10 * time.Minute

// earliest returns the earliest time, by the server's clock, at which an event of ev's task can have been stored: the
// time of its request. If the task was taken over by a copy of its request, the copy is younger than the task.
func earliest(ev *task.Event) time.Time {
	if !ev.SubmittedAt.IsZero() && ev.SubmittedAt.Before(ev.RequestedAt) {
		return ev.SubmittedAt.Add(-maxClockSkew)
	}
	return ev.RequestedAt
}

// FindSince returns the event that another worker has stored for the same run since a time of the server's clock, and its
// sequence. It finds none if NATS refuses the search: then the stream itself detects a copy. found is false if err is not
// nil.
func (p *Publisher) FindSince(ctx context.Context, d task.Delivery, ev task.Event, since time.Time) (stored task.Event, seq uint64, found bool, err error) {
	seqs, err := jet.Retry(ctx, p.calls.search, func(ctx context.Context) ([]uint64, error) {
		seqs, err := p.index.find(ctx, position{since: since}, p.keysOf(d, &ev)...)
		if jet.IsRefusal(err) && !jet.IsUnavailable(err) {
			return nil, nil
		}
		return seqs, err
	})
	if err == nil {
		seq, found, err = p.adoptFirst(ctx, seqs, &ev)
	}
	if err != nil {
		return ev, 0, false, fmt.Errorf("search for the event of task %s: %w", ev.TaskID, err)
	}
	return ev, seq, found, nil
}

// keysOf returns the keys of the message ids under which ev may be stored: the task's id, or the request's own.
func (p *Publisher) keysOf(d task.Delivery, ev *task.Event) []uint64 {
	return []uint64{p.index.messageKey(ev.TaskID), p.index.messageKey(perRequestID(ev.TaskID, d))}
}

// findStored searches for the event that an earlier delivery of d stored. If it finds one, it replaces ev by it. found is
// false if err is not nil.
func (p *Publisher) findStored(ctx context.Context, d task.Delivery, ev *task.Event) (seq uint64, found bool, err error) {
	seqs, err := p.search(ctx, earliest(ev), p.keysOf(d, ev)...)
	if err != nil {
		return 0, false, err
	}
	return p.adoptFirst(ctx, seqs, ev)
}

// adoptFirst replaces ev by the first of the events with these sequences that is of the same task. found is false if err
// is not nil.
func (p *Publisher) adoptFirst(ctx context.Context, seqs []uint64, ev *task.Event) (seq uint64, found bool, err error) {
	for _, seq := range seqs {
		adopted, err := p.adopt(ctx, seq, ev)
		// An event that has just been deleted is like one that was not found: the next may be the right
		// one.
		if adopted || err != nil && !errors.Is(err, task.ErrNoEvent) {
			return seq, adopted, err
		}
	}
	return 0, false, nil
}

// search finds the events with these keys in the index that were stored since a time of the server's clock. It waits while
// NATS refuses the search: without it, an event could be stored twice.
func (p *Publisher) search(ctx context.Context, since time.Time, keys ...uint64) ([]uint64, error) {
	return jet.Retry(ctx, p.calls.search, func(ctx context.Context) ([]uint64, error) {
		return p.index.find(ctx, position{since: since}, keys...)
	})
}

// isStored decides whether ev is stored, after the stream answered that it is a duplicate. If so, it replaces ev by the
// stored event.
//
// The message may no longer exist: a full stream discarded it, or an operator purged it. It was this event if an earlier
// attempt or delivery may have sent it; then subscribers have seen it, and it is not sent again. It was another
// request's event if nothing of this task was sent before, or if the next message is older than the request.
func (p *Publisher) isStored(ctx context.Context, ack eventAck, ev *task.Event, redelivered bool) (bool, error) {
	adopted, err := p.adopt(ctx, ack.Sequence, ev)
	if !errors.Is(err, task.ErrNoEvent) {
		return adopted, err
	}
	if !redelivered && !ack.mayBeResent {
		return false, nil
	}
	next, err := p.nextAfter(ctx, ack.Sequence)
	if errors.Is(err, task.ErrNoEvent) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	// Sequences are in the order of time: if the next message is older than the request, so was the missing one.
	return next.Time.After(earliest(ev)), nil
}

// adopt replaces ev by the stored event with this sequence if both are of the same task, and answer the same request or
// report the same workflow: a copy of a request may have taken over its task. It reports whether it did. The error is
// task.ErrNoEvent if the message no longer exists.
func (p *Publisher) adopt(ctx context.Context, seq uint64, ev *task.Event) (bool, error) {
	stored, _, err := p.readEvent(ctx, seq, false)
	if err != nil {
		return false, err
	}
	// Two events without a workflow id are not of the same run.
	sameRun := stored.WorkflowID != "" && stored.WorkflowID == ev.WorkflowID
	same := stored.TaskID == ev.TaskID && (sameRun || stored.RequestedAt.Equal(ev.RequestedAt))
	if same {
		*ev = stored
	}
	return same, nil
}

// readEvent reads a stored event, with the digest of its request's content, and its message id. With onlyVerdict it leaves
// out the result and all else that can be large: the caller keeps the event when the slot for it is free again. The error
// is task.ErrNoEvent if the message no longer exists. The message of another program is an event without a task.
func (p *Publisher) readEvent(ctx context.Context, seq uint64, onlyVerdict bool) (ev task.Event, id string, err error) {
	if err := p.reads.Acquire(ctx, 1); err != nil {
		return task.Event{}, "", fmt.Errorf("wait to read event %d: %w", seq, err)
	}
	defer p.reads.Release(1)
	msg, err := p.read(ctx, seq)
	if err != nil {
		return task.Event{}, "", err
	}
	id = msg.Header.Get(idHeader)
	if json.Unmarshal(msg.Data, &ev) != nil {
		return task.Event{}, id, nil
	}
	ev.Digest = msg.Header.Get(DigestHeader)
	if onlyVerdict {
		ev = verdictOf(&ev)
	}
	return ev, id, nil
}

// nextAfter returns the first event after a sequence, or task.ErrNoEvent.
func (p *Publisher) nextAfter(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	return p.read(ctx, seq+1, jetstream.WithGetMsgSubject(p.cfg.Subject))
}

// read returns a message of the results stream, or task.ErrNoEvent if it does not exist.
func (p *Publisher) read(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return jet.Retry(ctx, p.calls.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := p.results.GetMsg(ctx, seq, opts...)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = jet.Final(task.ErrNoEvent)
		}
		return msg, err
	})
}
