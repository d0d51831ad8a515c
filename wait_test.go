package capstan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// Each of these events comes before the right one, and is another request's.
func TestAWaitPassesOverOtherRequestsEvents(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	const seq = "1"
	// A stream that was recreated counts from 1 again.
	q.answer("a", "before the stream was recreated", "ce-source", "/capstan/TASKS", "Capstan-Sequence", seq, "Capstan-Digest", "other", "ce-subject", "a")
	published := q.publish("a")
	q.answer("a", "another stream", "ce-source", "/capstan/OTHERS", "Capstan-Sequence", seq)
	q.answer("a", "other content", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "12", "Capstan-Digest", "other", "ce-subject", "a")
	q.answer("a", "a refusal of another request", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "12", "ce-subject", "a")
	q.answer("b", "the same content, another task", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "12", "Capstan-Digest", published.Digest, "ce-subject", "b")
	q.answer("a", "its own", "ce-source", "/capstan/TASKS", "Capstan-Sequence", seq)
	q.waitFor(published, "its own")
}

// The task that a request repeats may end just before the request is published, so that no worker answers it.
func TestAWaitFindsTheEventOfATaskThatHasJustEnded(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	digest := q.publish("a").Digest
	q.answer("a", "just before", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "1", "Capstan-Digest", digest, "ce-subject", "a")
	for i := range 900 {
		q.answer(fmt.Sprint("b", i), "w1")
	}
	q.waitFor(q.publish("a"), "just before")
}

func TestATaskCanBeKeptAndWaitedForLater(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	kept, err := json.Marshal(q.publish("a"))
	if err != nil {
		t.Fatal(err)
	}
	q.answer("a", "w1", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "1")
	var later capstan.Task
	if err := json.Unmarshal(kept, &later); err != nil {
		t.Fatal(err)
	}
	q.waitFor(later, "w1")
}

func TestATaskOfWhichOnlyTheIDIsKnownHasTheEventThatIsNoRefusal(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	q.answer("a", "a refusal", "ce-subject", "a")
	q.answer("b", "another task", "ce-subject", "b", "Capstan-Digest", "d")
	q.answer("a", "its own", "ce-subject", "a", "Capstan-Digest", "d")
	for i := range 1200 { // it may be long ago
		q.answer(fmt.Sprint("c", i), "w1")
	}
	q.waitFor(capstan.Task{ID: "a"}, "its own")
}

func TestAnEventThatWasDeletedIsPassedOver(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	published := q.publish("a")
	q.answer("a", "deleted", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "1")
	stream, err := q.js.Stream(t.Context(), "TASK_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	q.answer("a", "kept", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "1")
	q.waitFor(published, "kept")
}

func TestAWaitEndsWithItsContextAndTellsTheTask(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	published := q.publish("a")
	for name, broken := range map[string]bool{"connected": false, "NATS is down": true} {
		if broken {
			q.nats.Stop()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := q.Wait(ctx, published)
		pending, ok := errors.AsType[*capstan.PendingError](err)
		if !ok || pending.Task != published || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "TASKS, sequence 1") {
			t.Errorf("%s: got %v, want an error with the task and the reason", name, err)
		}
	}
}

func TestAWaitEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	published := q.publish("a")
	nc, js := q.nats.Connect()
	ended := make(chan error, 1)
	go func() {
		_, err := capstan.New(js, capstan.Config{}).Wait(context.WithoutCancel(t.Context()), published)
		ended <- err
	}()
	natstest.Eventually(t, func() error {
		stream, err := q.js.Stream(t.Context(), "TASK_RESULTS")
		if err == nil && stream.CachedInfo().State.Consumers == 0 {
			err = errors.New("the wait has not begun")
		}
		return err
	})
	nc.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "connection") {
		t.Errorf("got %v, want that the connection was closed", err)
	}
}

// The server would delete it half a minute later: a program that runs many tasks would have many.
func TestAWaitDeletesItsConsumer(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	published := q.publish("a")
	q.answer("a", "w1", "ce-source", "/capstan/TASKS", "Capstan-Sequence", "1")
	for range 100 {
		q.waitFor(published, "w1")
	}
	ended := time.Now()
	natstest.Eventually(t, func() error {
		stream, err := q.js.Stream(t.Context(), "TASK_RESULTS")
		if err == nil && stream.CachedInfo().State.Consumers != 0 {
			err = fmt.Errorf("got %d consumers, want none", stream.CachedInfo().State.Consumers)
		}
		return err
	})
	if waited := time.Since(ended); waited > 20*time.Second {
		t.Errorf("got no consumers after %v, want that a wait deletes its own", waited)
	}
}
