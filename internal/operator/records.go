package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Records is the bucket of records, as of the last read.
type Records struct {
	All map[string]task.Record // by task id

	changes *RecordChanges
	keep    func(task.Record) bool // nil keeps all
}

// Records returns the records that keep wants; nil keeps all. It reads nothing yet.
func (q Queue) Records(keep func(task.Record) bool) *Records {
	return &Records{All: map[string]task.Record{}, changes: q.RecordChanges(), keep: keep}
}

// Refresh reads what was written since the last time. now is the server's time: records that have expired since are
// dropped, for the bucket says nothing of that. The error is a *MissingError if there is no bucket.
func (r *Records) Refresh(ctx context.Context, now time.Time) error {
	err := r.changes.Read(ctx, func() { clear(r.All) }, r.note)
	if IsMissing(err) {
		return err
	}
	for id, rec := range r.All {
		if rec.State.Ended() && now.Sub(rec.UpdatedAt) > r.changes.q.Config.Tracker.TTL {
			delete(r.All, id)
		}
	}
	return err
}

// note takes the newest record of a task, or that it has none.
func (r *Records) note(id string, rec *task.Record) {
	if rec == nil || r.keep != nil && !r.keep(*rec) {
		delete(r.All, id)
		return
	}
	r.All[id] = *rec
}

// RecordsThat returns the records that a filter keeps, by task id. The error is a *MissingError if there is no bucket.
func (q Queue) RecordsThat(ctx context.Context, keep func(task.Record) bool) (map[string]task.Record, error) {
	all := q.Records(keep)
	err := all.Refresh(ctx, time.Time{}) // it has just been read, so what has expired is gone
	return all.All, err
}

// Record reads the record of a task, or returns nil if there is none. A newer version may have written it, so its State may be
// none that this version knows. The error is a *MissingError if there is no bucket.
func (q Queue) Record(ctx context.Context, id string) (*task.Record, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Tracker.Bucket
	stream, err := q.bucketStream(asking, name)
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetLastMsgForSubject(asking, jet.BucketSubject(name, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && jet.IsDeleted(msg) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of task %s: %w", id, q.Explain(err))
	}
	rec, err := parseRecord(msg.Data)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", id, err)
	}
	return &rec, nil
}

// parseRecord reads a record to look at it. One of a newer version has a state that this version does not know, and counts as
// one of a task that has not ended.
func parseRecord(value []byte) (task.Record, error) {
	rec, err := task.ParseRecord(value)
	if errors.Is(err, task.ErrNewerRecord) {
		err = nil
	}
	return rec, err
}
