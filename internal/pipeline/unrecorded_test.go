package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// A POST has an unknown outcome, and the bucket is recreated in the meantime. A copy of the request waits for the record.
// The worker that sent the POST writes its record before the copy's wait ends, though NATS is slow to store it.
func TestACopyDoesNotRunATaskWhosePostHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields    string
		workflows int
	}{
		"by default": {"", 1},
		"where its request allows one repetition": {`,"on_unknown_submission":"resubmit"`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.postTimeout = time.Second
			fault := anchortest.Answer(500).ButAccepted().Repeated(-1)
			request := w.planned(anchortest.Plan{Submit: []anchortest.Fault{fault}}, c.fields)
			posts := newStall("submit")
			posts.after = true
			saves := 0
			first := w.worker("w1", stepFunc(func(step string, act func() error) error {
				if step != "save submitting" && step != "save waiting" && step != "save failed" {
					return posts.do(step, act)
				}
				saves++
				if saves == 2 { // the one that writes the lost record again
					<-time.After(300 * time.Millisecond)
				}
				return act()
			}))
			original, copied := w.request(request), w.request(request)
			verdict, other := make(chan error, 1), make(chan error, 1)
			go func() { verdict <- handle(t.Context(), first, original(1)) }()
			<-posts.reached
			w.loseRecords()
			second := w.worker("w2", healthy{})
			go func() { other <- handle(t.Context(), second, copied(1)) }()
			<-time.After(1200 * time.Millisecond)
			close(posts.resume)
			for _, err := range []error{<-verdict, <-other} {
				if err != nil {
					t.Error(err)
				}
			}
			if got := w.api.Totals().Accepted; got != c.workflows {
				t.Errorf("got %d workflows, want %d", got, c.workflows)
			}
		})
	}
}

// A worker drains right after a POST whose record was lost. It does not wait for the records of other workers.
func TestADrainIsNotHeldUpByALostRecord(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]anchortest.Fault{"not accepted": anchortest.RateLimited(0), "unknown": anchortest.Answer(500)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.postTimeout = 10 * time.Second
			deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{fault}}, `,"on_unknown_submission":"resubmit"`))
			posts := newStall("submit")
			posts.after = true
			first := w.worker("w1", posts)
			ctx, drain := context.WithCancel(t.Context())
			defer drain()
			verdict := make(chan error, 1)
			go func() { verdict <- handle(ctx, first, deliver(1)) }()
			<-posts.reached
			w.loseRecords()
			drain()
			close(posts.resume)
			select {
			case err := <-verdict:
				if err == nil {
					t.Error("got no error, want the request to be handed over")
				}
			case <-time.After(5 * time.Second):
				t.Error("the drain takes more than 5 s")
			}
			w.finish("w2", deliver(2))
			if got := w.api.Totals().Accepted; got > 1 {
				t.Errorf("got %d workflows, want 1 at most", got)
			}
		})
	}
}

// The same, right before a POST: the record is lost after it said submitting.
func TestADrainEndsTheWaitForAnotherWorkersRecord(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.postTimeout = 10 * time.Second
	deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.RateLimited(0)}}, ""))
	announces := newStall("save submitting")
	first := w.worker("w1", announces)
	ctx, drain := context.WithCancel(t.Context())
	defer drain()
	verdict := make(chan error, 1)
	go func() { verdict <- handle(ctx, first, deliver(1)) }()
	<-announces.reached
	w.loseRecords()
	close(announces.resume)
	select {
	case err := <-verdict:
		t.Fatalf("got %v at once, want the run to wait for the other workers", err)
	case <-time.After(500 * time.Millisecond):
	}
	drain()
	select {
	case err := <-verdict:
		if err == nil {
			t.Error("got no error, want the request to be handed over")
		}
	case <-time.After(2 * time.Second):
		t.Error("the drain takes more than 2 s")
	}
}

// A worker dies together with the bucket. A copy of its request that was never delivered waits until the request itself is
// redelivered, which ends the task.
func TestACopyWaitsForTheRedeliveryOfItsOriginal(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.ackWait = 8 * time.Second // longer than a living owner may take
	original, copied := w.request(body("")), w.request(body(""))
	w.die("w1", &death{step: "status"}, original(1))
	w.loseRecords()
	died := time.Now()
	second := w.worker("w2", healthy{})
	other := make(chan error, 1)
	go func() { other <- handle(t.Context(), second, copied(1)) }()
	<-time.After(time.Until(died.Add(w.ackWait)))
	w.finish("w2", original(2))
	if err := <-other; err != nil {
		t.Error(err)
	}
	if got := w.api.Totals().Accepted; got != 1 {
		t.Errorf("got %d workflows, want 1", got)
	}
}
