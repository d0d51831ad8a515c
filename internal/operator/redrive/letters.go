package redrive

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// letter is a dead letter: a request that is kept because its task failed.
type letter struct {
	seq    uint64
	stored time.Time
	taskID string
	code   string
	host   string
	batch  string
	header nats.Header
	body   []byte
	run    int   // the greatest number of a run that has a letter; 0 for the task itself
	unfit  error // why no request can be made of it, once it was looked at
}

// isElsewhere reports whether the body is in the object store, because it was too large for a message.
func (l letter) isElsewhere() bool { return l.header.Get(publisher.ObjectHeader) != "" }

// isRefusal reports whether a request was refused. Its task id may be that of another request's task.
func (l letter) isRefusal() bool {
	ev := task.Event{Error: &task.Error{Code: task.Code(l.code)}}
	return ev.RefusesRequest()
}

// summary returns the letter without its body, which may be large. It keeps the headers of one whose body is elsewhere.
func (l letter) summary() letter {
	l.body = nil
	if !l.isElsewhere() {
		l.header = nil
	}
	return l
}

// newestLetters returns the newest letter of each task, by the task's id without the number of a run, and the time by the
// clock of the server. It reads those of a while, or all if that is 0. It keeps what judge makes of a letter. The letter
// of a request that was refused does not replace that of a task.
func newestLetters(ctx context.Context, q operator.Queue, while time.Duration, judge func(l letter, now time.Time) letter) (map[string]letter, time.Time, error) {
	name := q.Config.Dead.Stream
	s, err := q.Stream(ctx, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	now := s.CachedInfo().TimeStamp
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{q.Config.Dead.Subject}}
	if while > 0 {
		start := now.Add(-while)
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &start
	}
	newest := map[string]letter{}
	letters := q.Tail(name, cfg)
	err = letters.Read(ctx, nil, func(msg jetstream.Msg) error {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		l := readLetter(msg.Headers(), msg.Data())
		l.seq, l.stored = meta.Sequence.Stream, meta.Timestamp
		base, run := splitRun(l.taskID)
		before, hasBefore := newest[base]
		l.run = max(run, before.run)
		if hasBefore && l.isRefusal() && !before.isRefusal() {
			before.run = l.run
			newest[base] = before
			return nil
		}
		newest[base] = judge(l, now)
		return nil
	})
	return newest, now, err
}

// readLetter reads a dead letter. Where a letter of an older version does not name its task, the request in it does.
func readLetter(header nats.Header, body []byte) letter {
	l := letter{
		taskID: header.Get(publisher.TaskHeader), code: header.Get(publisher.CodeHeader),
		host: header.Get(publisher.HostHeader), batch: header.Get(publisher.BatchHeader),
		header: header, body: body,
	}
	if l.taskID != "" {
		return l
	}
	seq, _ := strconv.ParseUint(header.Get(publisher.SequenceHeader), 10, 64) // 0 if it is none
	identity := task.Identify(task.Delivery{
		Stream: header.Get(publisher.StreamHeader), Seq: seq, Data: body,
		Header: nats.Header{nats.MsgIdHdr: header[publisher.OriginalPrefix+nats.MsgIdHdr]},
	})
	l.taskID, l.batch, l.host = identity.TaskID, identity.Batch, identity.Host
	return l
}
