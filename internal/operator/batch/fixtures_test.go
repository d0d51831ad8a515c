package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// site is a queue, and what its tests do with it.
type site struct {
	*operatortest.Site
	t testing.TB
}

// newSite returns a site with all streams and buckets but those whose streams are named.
func newSite(tb testing.TB, without ...string) *site {
	tb.Helper()
	return &site{operatortest.Start(tb, without...), tb}
}

// read reads a file, which must have no mistakes.
func (s *site) read(file, text, name string) *batch.Batch {
	s.t.Helper()
	b, err := batch.Read(batch.File{Name: file, Data: []byte(text), Batch: name}, s.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// prepare prepares a batch that has no conflicts.
func (s *site) prepare(b *batch.Batch) *batch.Submission {
	s.t.Helper()
	sub, err := batch.Prepare(s.t.Context(), s.Queue, b)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// send sends all of a batch.
func (s *site) send(b *batch.Batch) send.Counts {
	s.t.Helper()
	sub := s.prepare(b)
	if err := sub.Send(s.t.Context(), len(b.Requests)); err != nil {
		s.t.Fatal(err)
	}
	return sub.Counts()
}

// lines returns n requests as JSON Lines, without ids.
func lines(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"prompt":"order %d","url":"https://shop.example.com/"}`+"\n", i)
	}
	return text.String()
}

// finish stores the event and the record of the task of a request that is queued.
func (s *site) finish(r batch.Request, code task.Code) {
	s.t.Helper()
	ev := task.Event{TaskID: r.TaskID, Status: task.Succeeded, Result: json.RawMessage(`"ok"`), RequestedAt: time.Now(), FinishedAt: time.Now()}
	if code != "" {
		ev.Status, ev.Result, ev.Error = task.Failed, nil, &task.Error{Code: code, Message: "no"}
	}
	s.WriteEvent(ev, nats.MsgIdHdr, r.TaskID, publisher.DigestHeader, r.Digest)
	s.WriteRecord(task.Record{TaskID: r.TaskID, State: ev.Status, Digest: r.Digest, WorkflowID: "wf", RequestedAt: ev.RequestedAt, ErrorCode: code})
}

// follow follows a batch and collects the ids of its events.
func (s *site) follow(sub *batch.Submission) (*batch.Results, *[]string) {
	s.t.Helper()
	results, err := sub.Follow(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	ids := &[]string{}
	results.OnEvent = func(ev task.Event, _ []byte) error {
		*ids = append(*ids, ev.TaskID)
		return nil
	}
	return results, ids
}

// wait waits for the first n tasks.
func (s *site) wait(r *batch.Results, n int) batch.Tally {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := r.Wait(ctx, n, nil); err != nil {
		s.t.Fatalf("%v, with %+v", err, r.Tally(n))
	}
	return r.Tally(n)
}
