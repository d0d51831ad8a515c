package pipeline_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// other is a request with the task id "a" and other content.
const other = `{"task_id":"a","prompt":"something else","url":"https://example.com"}`

// poison lets a request with the id "a" and other content end as poisoned: its event has a message id of its own.
func (w *world) poison() {
	w.t.Helper()
	d := w.request(other)(11)
	count := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored, Count: 10, TaskID: "a"}
	if err := w.records().SaveDeliveries(w.t.Context(), count); err != nil {
		w.t.Fatal(err)
	}
	w.finish("w2", d)
}

// expireRecord removes the task's record, as TRACKER_TTL does.
func (w *world) expireRecord() {
	w.t.Helper()
	records := w.stream(w.tracker.Stream())
	if err := records.Purge(w.t.Context(), jetstream.WithPurgeSubject(w.tracker.Subject("a"))); err != nil {
		w.t.Fatal(err)
	}
}

// The event of another request with the same task id does not end a task that is being submitted when the bucket is
// recreated. A copy of its request waits for the record, and shares its event.
func TestTheEventOfAnotherRequestDoesNotEndARunningTask(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, during func(w *world) }{
		"it was poisoned in the meantime": {
			func(w *world) {
				w.finish("w1", w.request(`{"task_id":"b","prompt":"b","url":"https://example.com"}`)(1))
			},
			(*world).poison,
		},
		"its record had expired": {
			func(w *world) { w.finish("w1", w.request(other)(1)); w.expireRecord() },
			func(*world) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.postTimeout = 2 * time.Second
			c.before(w)
			posts := newStall("submit")
			posts.after = true
			first := w.worker("w1", posts)
			verdict, copied := make(chan error, 1), make(chan error, 1)
			original, duplicate := w.request(body("")), w.request(body(""))
			go func() { verdict <- handle(t.Context(), first, original(1)) }()
			<-posts.reached
			c.during(w)
			w.loseRecords()
			second := w.worker("w2", healthy{})
			go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
			<-time.After(500 * time.Millisecond)
			close(posts.resume)
			for _, err := range []error{<-verdict, <-copied} {
				if err != nil {
					t.Error(err)
				}
			}
			events := w.events()
			if last := events[len(events)-1]; last.Status != task.Succeeded || w.api.Totals().Accepted != 2 {
				t.Errorf("got %d workflows and at last the event %+v, want 2 and a success", w.api.Totals().Accepted, last)
			}
		})
	}
}

// Nor does it tell how a task ended whose worker died.
func TestTheEventOfAnotherRequestDoesNotEndATaskWhoseWorkerDied(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	w.poison()
	w.loseRecords()
	w.finish("w2", deliver(2))
	events := w.events()
	if last := events[len(events)-1]; last.Error == nil || last.Error.Code != task.SubmissionUnknown {
		t.Errorf("got %+v, want submission_unknown", last)
	}
}

// A task whose request is poisoned has ended. A copy of its request gets that event again, also if the record is lost.
func TestACopyOfAPoisonedRequestGetsItsEvent(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	d := deliver(11)
	count := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored, Count: 10, TaskID: "a"}
	if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	w.finish("w2", d)
	copied := w.request(body(""))
	w.loseRecords()
	w.finish("w2", copied(1))
	msgs := w.messages()
	if last := msgs[len(msgs)-1]; last.Header.Get("Capstan-Replay") == "" || w.api.Totals().Accepted != 1 {
		t.Errorf("got %d workflows and event %s, want 1 and the event again", w.api.Totals().Accepted, last.Data)
	}
}

// The request stream is recreated, and then the bucket: the stream assigns the default task ids again.
func TestARecreatedStreamsDefaultIDsAreNewTasks(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{
		"other content": `{"prompt":"second","url":"https://example.com"}`,
		"same content":  `{"prompt":"first","url":"https://example.com"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.finish("w1", w.request(`{"prompt":"first","url":"https://example.com"}`)(1))
			cfg := w.stream("TASKS").CachedInfo().Config
			if err := w.js.DeleteStream(t.Context(), cfg.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := w.js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			<-time.After(2500 * time.Millisecond) // an operator types the second command
			w.loseRecords()
			w.finish("w1", w.request(second)(1))
			if got := w.api.Totals().Accepted; got != 2 {
				t.Errorf("got %d workflows, want 2", got)
			}
		})
	}
}

// Two tasks had the same id, one after the other. A copy of the second one's request gets the second one's event.
func TestACopyGetsTheEventOfItsOwnContent(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.finish("w1", w.request(other)(1))
	w.expireRecord()
	w.finish("w1", w.request(body(""))(1))
	copied := w.request(body(""))
	w.loseRecords()
	w.finish("w2", copied(1))
	msgs := w.messages()
	if last := msgs[len(msgs)-1]; last.Header.Get("Capstan-Replay") == "" {
		t.Errorf("got event %s, want the second task's again", last.Data)
	}
}
