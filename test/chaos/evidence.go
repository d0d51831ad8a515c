package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// The default names of the streams.
const (
	requestStream = "TASKS"
	resultStream  = "TASK_RESULTS"
	deadStream    = "TASK_DEAD"
	recordStream  = "KV_task_tracker"
	objectStream  = "OBJ_task_results"

	resultSubject = "tasks.result"
)

// collect gathers the evidence, once no worker is running.
func (w *world) collect(ctx context.Context) (verdict.Evidence, error) {
	e := verdict.Evidence{Records: map[string]task.Record{}, Dead: map[string]int{}}
	for _, d := range w.deletions {
		e.BucketDeleted = append(e.BucketDeleted, d.from)
	}
	e.Doubt = func(id string) bool { return w.faults.explain(w.journal.windowsOf(id)) }
	e.Forgotten = func(id string) bool { return w.journal.endedBefore(id, w.deletions) }
	e.Core, e.Older = w.core.evidence(w.faults), w.older != ""
	var err error
	if e.Runs, err = w.api.Logs(ctx); err != nil {
		return e, err
	}
	if e.Left, err = w.left(ctx); err != nil {
		return e, err
	}
	err = errors.Join(w.collectEvents(ctx, &e), w.collectRecords(ctx, &e), w.collectDead(ctx, &e), w.collectSessions(ctx, &e), w.searchObjects(ctx))
	return e, err
}

// left returns how many requests are on their stream.
func (w *world) left(ctx context.Context) (uint64, error) {
	s, err := w.stream(ctx, requestStream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Msgs, nil
}

func (w *world) collectEvents(ctx context.Context, e *verdict.Evidence) error {
	return w.read(ctx, resultStream, func(m jetstream.Msg, seq uint64) error {
		ev := verdict.Event{Seq: seq, Header: m.Headers(), Replay: m.Headers().Get(publisher.ReplayHeader) == "true"}
		if err := json.Unmarshal(m.Data(), &ev.Event); err != nil {
			return fmt.Errorf("read event %d: %w", seq, err)
		}
		if ref := ev.ResultRef; ref != nil {
			var err error
			if ev.Result, err = w.object(ctx, *ref); err != nil {
				w.note("the result of %s is missing: %v", ev.TaskID, err)
			}
		}
		e.Events = append(e.Events, ev)
		return nil
	})
}

// object reads a result that was too large for a message. The object store checks its digest.
func (w *world) object(ctx context.Context, ref task.ResultRef) ([]byte, error) {
	store, err := w.js.ObjectStore(ctx, ref.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", ref.Bucket, err)
	}
	object, err := store.GetBytes(ctx, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", ref.Name, err)
	}
	return object, nil
}

func (w *world) collectRecords(ctx context.Context, e *verdict.Evidence) error {
	return w.read(ctx, recordStream, func(m jetstream.Msg, seq uint64) error {
		if strings.Contains(m.Subject(), "."+task.DeliveriesPrefix) {
			return nil // a count of deliveries, not a record
		}
		rec, err := task.ParseRecord(m.Data())
		if err != nil {
			return fmt.Errorf("read record %d: %w", seq, err)
		}
		e.Records[rec.TaskID] = rec
		return nil
	})
}

func (w *world) collectDead(ctx context.Context, e *verdict.Evidence) error {
	return w.read(ctx, deadStream, func(m jetstream.Msg, seq uint64) error {
		id := m.Headers().Get(publisher.TaskHeader)
		if id == "" && w.older != "" { // a worker of an older version names the task in the request only
			var request struct {
				TaskID string `json:"task_id"`
			}
			if err := json.Unmarshal(m.Data(), &request); err != nil {
				return fmt.Errorf("read dead letter %d: %w", seq, err)
			}
			id = request.TaskID
		}
		if id == "" {
			return fmt.Errorf("dead letter %d names no task", seq)
		}
		e.Dead[id]++
		return nil
	})
}

func (w *world) searchObjects(ctx context.Context) error {
	return w.read(ctx, objectStream, func(jetstream.Msg, uint64) error { return nil })
}

// read calls f with every message of a stream, and searches each for secrets. The last message is the one after which the
// server has none: a count from the stream's description can differ from what the consumer delivers.
func (w *world) read(ctx context.Context, stream string, f func(m jetstream.Msg, seq uint64) error) error {
	s, err := w.stream(ctx, stream)
	if err != nil {
		return err
	}
	if s.CachedInfo().State.Msgs == 0 {
		return nil
	}
	all, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	iterator, err := all.Messages()
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer iterator.Stop()
	for last := uint64(0); ; {
		m, err := iterator.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if seq := meta.Sequence.Stream; seq > last { // a consumer that was created again may begin before the last message
			last = seq
			place := fmt.Sprintf("message %d of %s", seq, stream)
			w.search(place, m.Data())
			w.search(place, fmt.Append(nil, m.Headers()))
			if err := f(m, seq); err != nil {
				return err
			}
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// search notes a problem if a text contains a secret.
func (w *world) search(place string, text []byte) {
	if bytes.Contains(text, []byte(w.secret)) {
		w.note("a task's secret is in %s", place)
	}
	if bytes.Contains(text, []byte(w.api.key)) {
		w.note("the API key is in %s", place)
	}
}

// searchLogs searches the logs of all workers for secrets and for panics.
func (w *world) searchLogs() error {
	for _, worker := range w.workers {
		log, err := os.Open(worker.LogFile)
		if err != nil {
			return fmt.Errorf("read a log: %w", err)
		}
		text, err := io.ReadAll(log)
		_ = log.Close()
		if err != nil {
			return fmt.Errorf("read a log: %w", err)
		}
		place := "the log of " + worker.Name
		w.search(place, text)
		if bytes.Contains(text, []byte(w.word)) {
			w.note("a prompt is in %s", place)
		}
		if bytes.Contains(text, []byte("panic")) {
			w.note("a panic is in %s", place)
		}
		if races := ourRaces(text); races > 0 {
			w.note("%d data races are in %s", races, place)
		}
	}
	return nil
}

// ourRaces counts the data races in a log, without one that is known in nats.go 1.55: its object store writes the next chunk
// of an upload into the message that it may still send for the chunk before. A worker reads back what it has uploaded.
func ourRaces(log []byte) (races int) {
	for _, report := range bytes.Split(log, []byte("WARNING: DATA RACE"))[1:] {
		report, _, _ = bytes.Cut(report, []byte("\n=========="))
		known := bytes.Contains(report, []byte("jetstream.(*obs).Put(")) && bytes.Contains(report, []byte(").publishMsgAsync"))
		if !known {
			races++
		}
	}
	return races
}
