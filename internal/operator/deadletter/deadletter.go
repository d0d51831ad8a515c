// Package deadletter reads dead letters: the requests that are kept because their tasks failed.
package deadletter

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// Letter is a dead letter.
type Letter struct {
	Seq    uint64 // in the stream of dead letters
	Stored time.Time
	TaskID string // of the run that failed
	Code   string // why it failed; "" in a letter of an older version
	Host   string // of its url; "" for none
	Batch  string // "" for none
	Header nats.Header
	Body   []byte // empty if only headers were read; see Request
}

// IsElsewhere reports whether the body is in the object store, because it was too large for a message.
func (l Letter) IsElsewhere() bool { return l.Header.Get(publisher.ObjectHeader) != "" }

// IsRefusal reports whether a request was refused. Its task id may be that of another request's task.
func (l Letter) IsRefusal() bool {
	ev := task.Event{Error: &task.Error{Code: task.Code(l.Code)}}
	return ev.RefusesRequest()
}

// Supersedes reports whether a letter says how a task failed last, where an earlier one of the same task is before. That of
// a request that was refused says nothing about a task.
func (l Letter) Supersedes(before Letter) bool { return !l.IsRefusal() || before.IsRefusal() }

// Letters reads the stream of dead letters from a place on, and later from where it stopped.
type Letters struct{ tail *operator.Tail }

// NewLetters returns the letters from a place on: all if from is the zero value. It reads nothing yet.
func NewLetters(q operator.Queue, from jetstream.OrderedConsumerConfig) *Letters {
	from.FilterSubjects = []string{q.Config.Dead.Subject}
	return &Letters{q.Tail(q.Config.Dead.Stream, from)}
}

// Read calls note with each letter that was stored since the last call, in their order. If the stream was recreated since
// then, it first calls restart, which may be nil, and begins anew.
func (ls *Letters) Read(ctx context.Context, restart func(), note func(Letter)) error {
	return ls.tail.Read(ctx, restart, func(msg jetstream.Msg) error {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		l := parse(msg.Headers(), msg.Data())
		l.Seq, l.Stored = meta.Sequence.Stream, meta.Timestamp
		note(l)
		return nil
	})
}

// Parse reads a message of the stream of dead letters. It returns nil for nil.
func Parse(msg *jetstream.RawStreamMsg) *Letter {
	if msg == nil {
		return nil
	}
	l := parse(msg.Header, msg.Data)
	l.Seq, l.Stored = msg.Sequence, msg.Time
	return &l
}

// parse reads a letter. Where a letter of an older version does not name its task, the request in it does.
func parse(header nats.Header, body []byte) Letter {
	l := Letter{
		TaskID: header.Get(publisher.TaskHeader), Code: header.Get(publisher.CodeHeader),
		Host: header.Get(publisher.HostHeader), Batch: header.Get(publisher.BatchHeader),
		Header: header, Body: body,
	}
	if l.TaskID != "" {
		return l
	}
	seq, _ := strconv.ParseUint(header.Get(publisher.SequenceHeader), 10, 64) // 0 if it is none
	identity := task.Identify(task.Delivery{
		Stream: header.Get(publisher.StreamHeader), Seq: seq, Data: body,
		Header: nats.Header{nats.MsgIdHdr: header[publisher.OriginalPrefix+nats.MsgIdHdr]},
	})
	l.TaskID, l.Batch, l.Host = identity.TaskID, identity.Batch, identity.Host
	return l
}

// runSuffix is the number of a run that was redriven.
var runSuffix = regexp.MustCompile(`\.r([1-9]\d{0,5})$`)

// SplitRun returns the id of a task without the number of its run, and that number: 0 for the task itself.
func SplitRun(id string) (base string, run int) {
	if !strings.Contains(id, ".r") { // as with most, of which there may be very many
		return id, 0
	}
	m := runSuffix.FindStringSubmatch(id)
	if m == nil {
		return id, 0
	}
	run, _ = strconv.Atoi(m[1]) // it has at most six digits
	return strings.TrimSuffix(id, m[0]), run
}
