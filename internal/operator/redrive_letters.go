package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// Headers of a dead letter.
const (
	// Where the request came from.
	letterStream = "Capstan-Stream"
	letterSeq    = "Capstan-Sequence"

	// originalPrefix is before the names of those headers of the request that NATS or Capstan reserve.
	originalPrefix = "Capstan-Original-"
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

	// Why no request can be made of it, once it was looked at.
	why    Reason
	detail string
}

// summary returns the letter without its body, which may be large. It keeps the headers of one whose body is elsewhere.
func (l letter) summary() letter {
	l.body = nil
	if l.header.Get(publisher.ObjectHeader) == "" {
		l.header = nil
	}
	return l
}

// newestLetters returns the newest letter of each task, by the task's id without the number of a run, and the time by the
// clock of the server. It reads those of a while, or all if that is 0. It keeps what inspect makes of a letter.
func (q Queue) newestLetters(ctx context.Context, while time.Duration, inspect func(l letter, now time.Time) letter) (map[string]letter, time.Time, error) {
	name := q.Config.Dead.Stream
	s, err := q.stream(ctx, "stream", name, name)
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
	err = q.scan(ctx, s, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
		l := readLetter(msg.Headers(), msg.Data())
		l.seq, l.stored = meta.Sequence.Stream, meta.Timestamp
		base, _ := splitRun(l.taskID)
		newest[base] = inspect(l, now)
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the dead letters in stream %s: %w", name, err)
	}
	return newest, now, nil
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
	seq, _ := strconv.ParseUint(header.Get(letterSeq), 10, 64) // 0 if it is none
	identity := task.Identify(task.Delivery{
		Stream: header.Get(letterStream), Seq: seq, Data: body,
		Header: nats.Header{nats.MsgIdHdr: header[originalPrefix+nats.MsgIdHdr]},
	})
	l.taskID, l.batch, l.host = identity.TaskID, identity.Batch, identity.Host
	return l
}

// request returns the request of a new run, or why there is none. The letter's own task id gives way to that of the run.
func (r *Redrive) request(ctx context.Context, l letter, newID string, now time.Time) (req Request, why Reason, detail string) {
	body, err := r.q.bodyOf(ctx, l)
	if err != nil {
		return req, NotKept, err.Error()
	}
	o, err := parseObject(body)
	if err != nil {
		return req, NotARequest, err.Error()
	}
	o = o.with("task_id", quote(newID))
	for _, change := range r.changes {
		o = o.with(change.name, change.value)
	}
	data := o.json()
	parsed, err := task.ParseRequest(task.Delivery{Stream: r.q.Config.Request.Stream, Data: data}, task.Defaults{Timeout: r.q.Config.Task.Timeout})
	switch {
	case strings.Contains(string(data), "[redacted"):
		return req, Redacted, ""
	case err != nil:
		return req, NotARequest, err.Error()
	case !parsed.ExpiresAt.IsZero() && parsed.ExpiresAt.Before(now):
		return req, ExpiresBefore, ""
	}
	return Request{TaskID: newID, Digest: parsed.Digest, Data: data}, "", ""
}

// bodyOf returns the request in a letter. One that was too large for a message is fetched from the object store.
func (q Queue) bodyOf(ctx context.Context, l letter) ([]byte, error) {
	object := l.header.Get(publisher.ObjectHeader)
	switch {
	case l.header.Get(publisher.BodyHeader) != "":
		return nil, errors.New("it may have held secrets")
	case object == "":
		return l.body, nil
	}
	return q.fetch(ctx, object)
}

// fetch reads an object of Capstan's own store. Anyone who may publish a letter can name an object.
func (q Queue) fetch(ctx context.Context, object string) ([]byte, error) {
	name, ours := strings.CutPrefix(object, q.Config.Result.Bucket+"/")
	if !ours {
		return nil, fmt.Errorf("%.80q is not in the object store %s", object, q.Config.Result.Bucket)
	}
	store, err := q.JS.ObjectStore(ctx, q.Config.Result.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", q.Config.Result.Bucket, err)
	}
	data, err := store.GetBytes(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %.80q of object store %s: %w", name, q.Config.Result.Bucket, err)
	}
	return data, nil
}

// headerOf returns the headers that the request of a letter had, without those that told NATS how to store it.
func (q Queue) headerOf(ctx context.Context, l letter) (nats.Header, error) {
	kept := nats.Header{}
	keep := func(name string, values []string) {
		if original, ok := strings.CutPrefix(name, originalPrefix); ok {
			name = original
		} else if hasPrefix(name, "Capstan-") {
			return
		}
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	for name, values := range l.header {
		keep(name, values)
	}
	object := l.header.Get(publisher.HeadersHeader)
	if object == "" {
		return kept, nil
	}
	text, err := q.fetch(ctx, object)
	if err != nil {
		return nil, err
	}
	var original map[string][]string
	if err := json.Unmarshal(text, &original); err != nil {
		return nil, fmt.Errorf("read the headers in %.80q: %w", object, err)
	}
	for name, values := range original {
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	return kept, nil
}

// hasPrefix reports whether a header's name has a prefix, in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
