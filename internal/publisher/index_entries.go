package publisher

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

const (
	// The bytes that an entry of either map of the index takes, including unused space.
	entrySize = 80
	// The most entries that are reserved at once.
	entryStep = 4096
)

// errExceedsBudget means that the budget has no memory for another entry.
var errExceedsBudget = errors.New("index of stored events exceeds its budget")

// keys returns the keys under which an event is found: that of its message id and, if it ended a task under another
// message id, that of the task's id. A replay or a refusal ended no task, and one task id may have thousands of them. They
// have no digest, or the mark of a replay. An older version's event has no digest either; it has the task's id, unless it
// answers a corrected request.
func (x *eventIndex) keys(h nats.Header) []uint64 {
	id, taskID := h.Get(nats.MsgIdHdr), h.Get(SubjectHeader)
	if taskID == "" || taskID == id || h.Get(ReplayHeader) != "" || h.Get(DigestHeader) == "" {
		return []uint64{x.messageKey(id)}
	}
	return []uint64{x.messageKey(id), x.taskKey(taskID)}
}

// renew makes the index one that goes back to a position, and has events of the stream as it is. If the stream was created
// again or has lost its last messages, sequences in the index may belong to other events, and new events may have lower
// ones than the index has read.
func (x *eventIndex) renew(ctx context.Context, first position) error {
	info, err := jet.Retry(ctx, x.call, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		if err := x.recentRefusal(); err != nil {
			return nil, jet.Final(err)
		}
		info, err := x.info(ctx)
		return info, x.noteRefusal(err)
	})
	if err != nil {
		return err
	}
	goesBack := x.latest != nil && !first.since.Before(x.from.since)
	if goesBack && info.Created.Equal(x.created) && info.State.LastSeq >= x.to.seq {
		return nil
	}
	x.drop()
	x.latest, x.earlier = map[uint64]place{}, map[entry]place{}
	x.from, x.to, x.created = first, first, info.Created
	return nil
}

// appendPlaces appends the sequences of the newest events with a key that are stored from a position on.
func (x *eventIndex) appendPlaces(seqs []uint64, from position, key uint64) []uint64 {
	event, ok := x.latest[key]
	for n := 0; ok && n < mostPerKey && from.precedes(event); n++ {
		seqs = append(seqs, event.seq)
		event, ok = x.earlier[entry{key, event.seq}]
	}
	return seqs
}

// add adds an event to the index, or returns errExceedsBudget.
func (x *eventIndex) add(h nats.Header, event place) error {
	for _, key := range x.keys(h) {
		if err := x.reserveEntry(); err != nil {
			return err
		}
		// Sequences that do not grow are of a stream that was just created again.
		if before, ok := x.latest[key]; ok && before.seq < event.seq {
			x.earlier[entry{key, event.seq}] = before
		}
		x.latest[key] = event
	}
	return nil
}

// reserveEntry makes sure that there is memory for one more entry. It reserves memory for many entries at once, but never
// more than the budget has left.
func (x *eventIndex) reserveEntry() error {
	if len(x.latest)+len(x.earlier) < x.capacity {
		return nil
	}
	size := min(entryStep, int((x.budget.Size()-int64(x.capacity)*entrySize)/entrySize))
	if size <= 0 {
		return errExceedsBudget
	}
	part := x.budget.TryReserve(int64(size) * entrySize)
	if part == nil {
		return errExceedsBudget
	}
	x.reserved = append(x.reserved, part)
	x.capacity += size
	return nil
}

// expire drops the index, unless it is in use, which starts its time over.
func (x *eventIndex) expire() {
	select {
	case x.turn <- struct{}{}:
		x.drop()
		<-x.turn
	default:
	}
}

// drop removes the index and releases its memory. The caller has the turn.
func (x *eventIndex) drop() {
	for _, part := range x.reserved {
		part.Release()
	}
	x.latest, x.earlier, x.reserved, x.capacity, x.exceedsBudget = nil, nil, nil, 0, false
}
