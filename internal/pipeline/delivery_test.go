package pipeline_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/task"
)

// The body is needed for the submission only, and a wait may be long: the consumer may pull more once it is dropped.
func TestARunningTaskKeepsLittleOfALargeRequest(t *testing.T) {
	t.Parallel()
	const large = 100_000
	w := newWorld(t)
	prompt := make([]byte, large)
	for i := range prompt {
		prompt[i] = 'p'
	}
	d := w.request(`{"task_id":"a","prompt":"` + string(prompt) + `","url":"https://example.com","metadata":{"order":1842}}`)(1)
	var sizes []int
	d.OnSize = func(bytes int) { sizes = append(sizes, bytes) }
	w.finish("w1", d)
	if len(sizes) != 1 || sizes[0] == 0 || sizes[0] > large/100 {
		t.Errorf("got sizes of %v bytes reported, want a small one", sizes)
	}
	if ev := w.wantOneEvent(success, 1); string(ev.Metadata) != `{"order":1842}` {
		t.Errorf("got metadata %s, want the request's", ev.Metadata)
	}
}

// The consumer lets the lease of a delivery expire that is busy for far too long, so that a request which hangs its
// worker is redelivered. A task that only waits is not busy.
func TestADeliveryIsBusyWhileItsContentIsReadAndJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		busy int // how often
	}{
		"a task":           {body(""), 3},          // it reads the request, judges the outcome, and encodes the event
		"a broken request": {`{"task_id":"a"}`, 2}, // it reads the request, and redacts it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.request(c.body)(1)
			began, busy := 0, false
			d.OnBusy = func(now bool) {
				if now == busy {
					t.Errorf("got busy %v twice in a row", now)
				}
				if busy = now; now {
					began++
				}
			}
			w.finish("w1", d)
			if busy || began != c.busy {
				t.Errorf("got %d busy times, busy at the end: %v, want %d that ended", began, busy, c.busy)
			}
		})
	}
}

// RecordsLost interrupts waits. The event counts the polls before and after.
func TestPollsAreCountedOverInterruptedWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var p *pipeline.Pipeline
	polls := 0
	p = w.worker("w1", stepFunc(func(step string, act func() error) error {
		if step != "status" {
			return act()
		}
		polls++
		if polls <= 2 {
			p.RecordsLost()
			return nil // the workflow runs
		}
		return act()
	}))
	if err := handle(t.Context(), p, w.request(body(""))(1)); err != nil {
		t.Fatal(err)
	}
	if ev := w.wantOneEvent(success, 1); ev.Polls != 3 || ev.Attempts != 1 {
		t.Errorf("got %d polls and %d POSTs, want 3 and 1", ev.Polls, ev.Attempts)
	}
}

// Two workers have a task when NATS has forgotten a delivery. The first one notices before it publishes: a subscriber
// without a consumer would see the event twice. That includes the time that the upload of a large result took.
func TestAWorkerWhoseTaskWasTakenOverPublishesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		step  string // before or after which it is slow
		after bool
		doubt func(expired *atomic.Bool, reconnects *atomic.Uint64)
	}{
		"its lease expired while it waited":           {"status", false, leaseExpires},
		"its lease expired during an upload":          {"offload", true, leaseExpires},
		"NATS was restarted while it waited":          {"status", false, reconnected},
		"NATS was restarted during an upload":         {"offload", true, reconnected},
		"it waited long and its lease seemed valid":   {"status", false, timePasses},
		"it uploaded long and its lease seemed valid": {"offload", true, timePasses},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			wantOneCopy := w.subscribe()
			deliver := w.request(body(""))
			first := deliver(1)
			var expired atomic.Bool
			var reconnects atomic.Uint64
			first.LeaseExpired, w.reconnects = expired.Load, reconnects.Load
			slow := newStall(c.step)
			slow.after = c.after
			verdict := w.start(slow, first)
			c.doubt(&expired, &reconnects)
			w.finish("w2", deliver(2))
			close(slow.resume)
			if err := <-verdict; !errors.Is(err, task.ErrNotOwner) {
				t.Errorf("got %v, want ErrNotOwner", err)
			}
			w.wantOneEvent(success, 1)
			wantOneCopy()
		})
	}
}

// Two workers have a task, and the first one has no reason to read its record again: it has just written it. The second
// one waits until the first would.
func TestAWorkerThatTookATaskOverWaitsUntilItsOwnerKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantOneCopy := w.subscribe()
	deliver := w.request(body(""))
	owner, taker := newStall("status"), newStall("status")
	verdict := w.start(owner, deliver(1))
	p, second := w.worker("w2", taker), make(chan error, 1)
	go func() { second <- handle(t.Context(), p, deliver(2)) }()
	<-taker.reached
	close(taker.resume)
	<-time.After(200 * time.Millisecond)
	close(owner.resume)
	for _, verdict := range []<-chan error{verdict, second} {
		if err := <-verdict; err != nil && !errors.Is(err, task.ErrNotOwner) {
			t.Error(err)
		}
	}
	w.wantOneEvent(success, 1)
	wantOneCopy()
}

// The first worker has only read its record, and the second one cannot see that: it finds a record that is old.
func TestARecordThatWasReadIsNotTrustedForLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantOneCopy := w.subscribe()
	deliver := w.request(body(""))
	upload := newStall("offload")
	upload.after = true
	p, first := w.worker("w1", stepFunc(func(step string, act func() error) error {
		if step == "status" {
			<-time.After(2100 * time.Millisecond)
		}
		return upload.do(step, act)
	})), make(chan error, 1)
	go func() { first <- handle(t.Context(), p, deliver(1)) }()
	<-upload.reached
	<-time.After(150 * time.Millisecond)
	w.finish("w2", deliver(2))
	close(upload.resume)
	if err := <-first; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	w.wantOneEvent(success, 1)
	wantOneCopy()
}

// Two workers have a task when the bucket is deleted, and both write the record again. Each gives the other time to see that.
func TestTwoWorkersThatWriteALostRecordAgainPublishOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantOneCopy := w.subscribe()
	deliver := w.request(body(""))
	owner, taker := newStall("status"), newStall("status")
	slow := stepFunc(func(step string, act func() error) error {
		if step == "publish" {
			<-time.After(300 * time.Millisecond)
		}
		return owner.do(step, act)
	})
	verdicts := make(chan error, 2)
	go func() { verdicts <- handle(t.Context(), w.worker("w1", slow), deliver(1)) }()
	<-owner.reached
	go func() { verdicts <- handle(t.Context(), w.worker("w2", taker), deliver(2)) }()
	<-taker.reached
	<-time.After(1100 * time.Millisecond) // by now the owner of before would have noticed
	w.loseRecords()
	close(owner.resume)
	<-time.After(150 * time.Millisecond)
	close(taker.resume)
	for range 2 {
		if err := <-verdicts; err != nil && !errors.Is(err, task.ErrNotOwner) {
			t.Error(err)
		}
	}
	w.wantOneEvent(success, 1)
	wantOneCopy()
}

// A drain does not wait for that: the next owner finds the workflow ended.
func TestADrainEndsTheWaitForTheOwnerOfBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	ctx, drain := context.WithCancel(t.Context())
	p := w.worker("w2", stepFunc(func(step string, act func() error) error {
		if step == "status" {
			defer drain()
		}
		return act()
	}))
	if err := handle(ctx, p, deliver(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if events := w.events(); len(events) != 0 {
		t.Errorf("got %+v, want no event", events)
	}
	w.finish("w3", deliver(3))
	w.wantOneEvent(success, 1)
}

// subscribe subscribes to the events without JetStream. wantOneCopy checks that exactly one message came.
func (w *world) subscribe() (wantOneCopy func()) {
	w.t.Helper()
	nc, _ := w.server.Connect()
	seen, err := nc.SubscribeSync("tasks.result")
	if err = errors.Join(err, nc.Flush()); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		err := nc.Flush()
		n, _, pendingErr := seen.Pending()
		if err = errors.Join(err, pendingErr); err != nil {
			w.t.Fatal(err)
		}
		if n != 1 {
			w.t.Errorf("got %d messages, want 1", n)
		}
	}
}

func leaseExpires(expired *atomic.Bool, _ *atomic.Uint64) { expired.Store(true) }

func reconnected(_ *atomic.Bool, reconnects *atomic.Uint64) { reconnects.Add(1) }

func timePasses(*atomic.Bool, *atomic.Uint64) { <-time.After(1100 * time.Millisecond) }
