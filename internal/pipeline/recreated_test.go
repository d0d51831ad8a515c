package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// age lets the streams get older, so that a bucket that is created later counts as recreated.
func (w *world) age() {
	w.t.Helper()
	timer := time.NewTimer(2100 * time.Millisecond)
	<-timer.C
}

// The bucket is deleted, and then the worker dies that ran the task. Nobody knows whether it was submitted.
func TestATaskWhoseRecordAndWorkerAreLostIsNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields string
		posts  int
		code   task.Code
	}{
		"by default":                    {"", 1, task.SubmissionUnknown},
		"unless its request allows for": {`,"on_unknown_submission":"resubmit"`, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.age()
			deliver := w.request(fmt.Sprintf(request, c.fields))
			w.dieWhileItRuns(nil, deliver(1))
			w.loseRecords()
			if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil {
				t.Fatal(err)
			}
			events := w.events()
			if len(events) != 1 || w.api.Accepted("a") != c.posts {
				t.Fatalf("got %d events of %d runs, want one of %d", len(events), w.api.Accepted("a"), c.posts)
			}
			if got := codeOf(events[0]); got != c.code {
				t.Errorf("got code %q, want %q", got, c.code)
			}
		})
	}
}

// A request that is stored after the bucket was created cannot have had a record in an earlier bucket.
func TestANewTaskOfARecreatedBucketIsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.age()
	w.loseRecords()
	deliver := w.request(fmt.Sprintf(request, ""))
	if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil { // the first worker died at once
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error != nil {
		t.Errorf("got %+v, want one success", events)
	}
}

// A copy of a request arrives when the bucket was just created again, and before the worker that runs the task has
// written its record again.
func TestACopyWaitsUntilTheRecordsAreWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.age()
	body := fmt.Sprintf(request, "")
	goOn, verdict := w.running(w.request(body))
	w.loseRecords()
	copied := make(chan error, 1)
	duplicate := w.request(body)
	go func() { copied <- handle(t.Context(), w.worker("w2", healthy{}), duplicate(1)) }()
	select {
	case err := <-copied:
		t.Errorf("got %v at once, want the copy to wait", err)
	case <-time.After(time.Second):
	}
	goOn()
	for _, ended := range []<-chan error{verdict, copied} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs, want 1", got)
	}
}

// The same, and the worker of the copy does not know yet that the bucket is another one: its first record tells.
func TestACopyWaitsAlsoWhereTheWorkerKnewTheOldBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.age()
	body := fmt.Sprintf(request, "")
	goOn, verdict := w.running(w.request(body))
	second := w.worker("w2", healthy{})
	for _, id := range []string{"b", "c"} {
		other := w.request(fmt.Sprintf(`{"task_id":%q,"prompt":"b","url":"https://example.com"}`, id))
		if err := handle(t.Context(), second, other(1)); err != nil {
			t.Fatal(err)
		}
	}
	duplicate := w.request(body)
	w.loseRecords()
	copied := make(chan error, 1)
	go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
	select {
	case err := <-copied:
		t.Errorf("got %v at once, want the copy to wait", err)
	case <-time.After(time.Second):
	}
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs before the record is written again, want 1", got)
	}
	goOn()
	for _, ended := range []<-chan error{verdict, copied} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs, want 1", got)
	}
}

func codeOf(ev task.Event) task.Code {
	if ev.Error == nil {
		return ""
	}
	return ev.Error.Code
}
