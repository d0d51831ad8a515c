package batch

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// Results are the events of a batch. One goroutine at a time may use them.
type Results struct {
	// OnEvent is called with the event of each task, once a task, and with its body as it was published. Its error ends
	// Wait. It may be nil.
	OnEvent func(ev task.Event, body []byte) error

	s        *Submission
	index    map[string]int
	outcomes []outcome // by request
	messages chan jetstream.Msg
	caughtUp bool // all events that were stored at the beginning are read
}

// outcome is how a task ended.
type outcome struct {
	ended   bool
	code    task.Code // empty if it succeeded
	expired bool      // only its record is left
	steps   *int      // nil if not known
	credits *float64
}

// unknownCode stands for the code of a failure that names none.
const unknownCode task.Code = "unknown"

// Tally counts how the tasks of a batch ended.
type Tally struct {
	All, Ended, Succeeded, Failed int
	Codes                         map[task.Code]int // of those that failed
	Expired                       int               // of those that ended: their events are no longer stored
	Cost                          operator.Cost     // of those that ended
	FailedCost                    operator.Cost     // of those that failed
}

// Follow begins to read the events of a batch: those of tasks that ended before as well. It reads until ctx ends.
func (s *Submission) Follow(ctx context.Context) (*Results, error) {
	r := &Results{
		s: s, index: make(map[string]int, len(s.batch.Requests)),
		outcomes: make([]outcome, len(s.batch.Requests)), messages: make(chan jetstream.Msg),
	}
	for i, req := range s.batch.Requests {
		r.index[req.TaskID] = i
	}
	var err error
	from := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &s.since}
	r.caughtUp, err = s.q.FollowEvents(ctx, from, func(msg jetstream.Msg) {
		select {
		case r.messages <- msg:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Wait waits until the first n tasks have ended, and tells onProgress, if it is not nil, when one has. It returns ctx's
// cause if ctx ends before.
func (r *Results) Wait(ctx context.Context, n int, onProgress func(Tally)) error {
	tally := r.Tally(n)
	for r.takeRecords(&tally); tally.Ended < tally.All; r.takeRecords(&tally) {
		if onProgress != nil {
			onProgress(tally)
		}
		i, err := r.next(ctx)
		if err != nil {
			return err
		}
		if i >= 0 && i < n {
			tally.add(r.outcomes[i])
		}
	}
	if onProgress != nil {
		onProgress(tally)
	}
	return nil
}

// next waits for the next message and returns the request whose task it ends, or -1 for none.
func (r *Results) next(ctx context.Context) (int, error) {
	select {
	case msg := <-r.messages:
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 {
			r.caughtUp = true
		}
		return r.take(msg.Headers(), msg.Data())
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	}
}

// take notes the event of a task of the batch and returns its request. It returns -1 for any other message, and for a
// second event of a task.
func (r *Results) take(header nats.Header, body []byte) (int, error) {
	if subject := header.Get(publisher.SubjectHeader); subject != "" {
		if _, ours := r.index[subject]; !ours { // most are told by the header
			return -1, nil
		}
	}
	ev, isEvent := operator.ReadEvent(header, body)
	i, ours := r.index[ev.TaskID]
	if !isEvent || !ours || r.outcomes[i].ended || !r.answers(i, header, &ev.Event) {
		return -1, nil
	}
	r.outcomes[i] = outcome{ended: true, steps: ev.Steps, credits: ev.Credits}
	if ev.Error != nil {
		r.outcomes[i].code = ev.Error.Code
	}
	if ev.Status == task.Failed && r.outcomes[i].code == "" {
		r.outcomes[i].code = unknownCode
	}
	if r.OnEvent == nil {
		return i, nil
	}
	return i, r.OnEvent(ev.Event, body)
}

// answers reports whether an event is the one of the request's task, and not that of another request with its task id: of
// one with other content, or of one that was refused before.
func (r *Results) answers(i int, header nats.Header, ev *task.Event) bool {
	req := r.s.batch.Requests[i]
	if !ev.RefusesRequest() {
		digest := header.Get(publisher.DigestHeader)
		return digest == "" || digest == req.Digest
	}
	seq, wasSent := r.s.seqs[req.TaskID]
	return wasSent && (strings.HasPrefix(header.Get(nats.MsgIdHdr), fmt.Sprintf("%s/%d/", req.TaskID, seq)) ||
		header.Get(nats.MsgIdHdr) == req.TaskID && !ev.RequestedAt.Before(r.s.asked))
}

// takeRecords notes, once all stored events are read, the outcome of tasks that had ended before and whose events are no
// longer stored.
func (r *Results) takeRecords(tally *Tally) {
	if !r.caughtUp {
		return
	}
	for id, rec := range r.s.ended {
		i := r.index[id]
		if r.outcomes[i].ended {
			continue
		}
		r.outcomes[i] = outcome{ended: true, expired: true, steps: rec.Steps, credits: rec.Credits}
		if rec.State == task.Failed {
			r.outcomes[i].code = cmp.Or(rec.ErrorCode, unknownCode)
		}
		if i < tally.All {
			tally.add(r.outcomes[i])
		}
	}
	clear(r.s.ended)
}

// Tally counts how the first n tasks ended, as far as is known.
func (r *Results) Tally(n int) Tally {
	t := Tally{All: min(n, len(r.outcomes)), Codes: map[task.Code]int{}}
	for _, out := range r.outcomes[:t.All] {
		if out.ended {
			t.add(out)
		}
	}
	return t
}

// add counts the outcome of one more task.
func (t *Tally) add(out outcome) {
	t.Ended++
	t.Cost = t.Cost.Plus(out.steps, out.credits)
	if out.expired {
		t.Expired++
	}
	if out.code == "" {
		t.Succeeded++
		return
	}
	t.Failed++
	t.FailedCost = t.FailedCost.Plus(out.steps, out.credits)
	t.Codes[out.code]++
}
