package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/task"
)

// Submission is a batch on its way into the queue. One goroutine at a time may use it.
type Submission struct {
	// OnProgress is called as requests are confirmed, with how many of those to send are. It may be nil.
	OnProgress func(confirmed, all int)

	q     operator.Queue
	batch *Batch
	asked time.Time              // when Prepare looked, by the clock of the server
	since time.Time              // no event of the batch is older
	fates send.Fates             // by request; duplicate if its task was there before
	ended map[string]task.Record // those that had ended before, by task id
	seqs  map[string]uint64      // of the requests that were stored, by task id
}

// Prepare looks at what is there of a batch already, so that Send sends the rest. A request whose id is in use with
// another content is a *MistakesError: a worker would refuse it. So is one that is too large.
//
// If the login may not look, it returns a Submission with an error that names the missing permission. Send then sends
// every request: one that was there before does not run again. With any other error there is no Submission.
func Prepare(ctx context.Context, q operator.Queue, b *Batch) (*Submission, error) {
	now := time.Now()
	s := &Submission{
		q: q, batch: b, asked: now, since: now.Add(-task.CopiesWithin), fates: make(send.Fates, len(b.Requests)),
		ended: map[string]task.Record{}, seqs: map[string]uint64{},
	}
	if err := checkSizes(q, b); err != nil {
		return nil, err
	}
	ids := make(map[string]bool, len(b.Requests))
	for _, r := range b.Requests {
		ids[r.TaskID] = true
	}
	found, look := q.TasksOf(ctx, ids)
	if look != nil {
		look = fmt.Errorf("look for what was submitted before: %w", look)
	} else if err := s.compare(found); err != nil {
		return nil, err
	}
	if look != nil && !errors.Is(look, nats.ErrPermissionViolation) {
		return nil, look
	}
	if err := s.checkExpiry(); err != nil {
		return nil, err
	}
	return s, look
}

// checkSizes refuses requests that are too large for a message.
func checkSizes(q operator.Queue, b *Batch) error {
	var tooLarge MistakesError
	for _, r := range b.Requests {
		if most := q.Conn.MaxPayload() - headerSpace; int64(len(r.Data)) > most {
			tooLarge.add(r.Place, fmt.Sprintf("the request has %d bytes, but NATS accepts %d", len(r.Data), most))
		}
	}
	return tooLarge.err()
}

// headerSpace is what the headers of a request need, in bytes.
const headerSpace = 512

// compare notes which requests are there already.
func (s *Submission) compare(found *operator.Tasks) error {
	var conflicts MistakesError
	s.asked, s.since = found.Now, found.Now.Add(-task.CopiesWithin)
	for i, r := range s.batch.Requests {
		var digest string
		var requested time.Time
		if rec, ok := found.Records[r.TaskID]; ok {
			digest, requested = rec.Digest, rec.RequestedAt
			if rec.State.Ended() {
				s.ended[r.TaskID] = rec
			}
		} else if queued, ok := found.Queued[r.TaskID]; ok {
			digest, requested = digestOf(s.q, queued, r), queued.Stored
		} else {
			continue
		}
		if digest != r.Digest {
			conflicts.add(r.Place, fmt.Sprintf("task %s is there already, with other content; give it another task_id, or the file another batch", r.TaskID))
			continue
		}
		s.fates[i] = send.Duplicate
		if requested.Before(s.since) {
			s.since = requested
		}
	}
	return conflicts.err()
}

// checkExpiry refuses requests that have expired already, unless the batch was begun before: what is left of it is sent
// then, and ends with the code expired.
func (s *Submission) checkExpiry() error {
	var expired MistakesError
	if slices.Contains(s.fates, send.Duplicate) {
		return nil
	}
	for _, r := range s.batch.Requests {
		if !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(s.asked) {
			expired.add(r.Place, fmt.Sprintf("expires_at must be later than now, %s (got %s)", s.asked.UTC().Format(time.RFC3339), r.ExpiresAt.Format(time.RFC3339)))
		}
	}
	return expired.err()
}

// digestOf returns the digest of a request that is queued, or "" if a worker will refuse it. It is the same as that of a
// request with the same bytes, which is quickly told.
func digestOf(q operator.Queue, r operator.Request, same Request) string {
	d := r.Delivery(q.Config.Request.Stream)
	if bytes.Equal(d.Data, same.Data) {
		return same.Digest
	}
	req, err := task.ParseRequest(d, task.Defaults{Timeout: q.Config.Task.Timeout})
	if err != nil {
		return ""
	}
	return req.Digest
}

// Counts returns how far the batch has come into the queue. Only what is confirmed counts as stored.
func (s *Submission) Counts() send.Counts { return s.fates.Counts() }

// Send sends those of the first n requests that are not there yet, and returns when NATS has confirmed all of them. The
// error is ctx's cause if ctx ended, or says why NATS does not take them. Counts says afterwards how many are stored.
func (s *Submission) Send(ctx context.Context, n int) error {
	var todo []int
	for i, f := range s.fates[:min(n, len(s.fates))] {
		if f != send.Stored && f != send.Duplicate {
			todo = append(todo, i)
		}
	}
	confirmed := 0
	message := func(_ context.Context, i int) (*nats.Msg, error) {
		return s.batch.Requests[todo[i]].Message(s.q.Config.Request.Subject, nil), nil
	}
	all, err := send.Requests(ctx, s.q, len(todo), message, func(i int, ack *jetstream.PubAck) {
		s.seqs[s.batch.Requests[todo[i]].TaskID] = ack.Sequence
		confirmed++
		if s.OnProgress != nil {
			s.OnProgress(confirmed, len(todo))
		}
	})
	for i, f := range all {
		s.fates[todo[i]] = f
	}
	return err
}
