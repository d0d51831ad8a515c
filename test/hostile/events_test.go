package hostile_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// event is the parts of an event that the tests need.
type event struct {
	taskID string
	status task.State
	code   task.Code // empty: it succeeded
	reason string    // the error's message
	took   time.Duration
	copies int
	text   bool // the event is UTF-8
}

// events counts the events as a subscriber without JetStream gets them. If a worker waits long for a PubAck, it publishes
// the event again, and the subscriber gets both. The stream stores it once.
type events struct {
	mu  sync.Mutex
	got map[string]event // by message id; guarded by mu
}

func subscribe(t *testing.T, nc *nats.Conn) *events {
	t.Helper()
	e := &events{got: map[string]event{}}
	sub, err := nc.Subscribe("tasks.result", e.take)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *events) take(m *nats.Msg) {
	var ev task.Event
	err := json.Unmarshal(m.Data, &ev)
	short := event{taskID: ev.TaskID, status: ev.Status, took: ev.FinishedAt.Sub(ev.RequestedAt), text: err == nil && utf8.Valid(m.Data)}
	if ev.Error != nil {
		short.code, short.reason = ev.Error.Code, ev.Error.Message
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := m.Header.Get(nats.MsgIdHdr)
	short.copies = e.got[id].copies + 1
	e.got[id] = short
}

// all returns the events by message id.
func (e *events) all() map[string]event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.got)
}

// await waits until every message has been answered and no request is left, and returns the events.
func (w *world) await(within time.Duration) map[string]event {
	w.t.Helper()
	w.mu.Lock()
	want := w.asked
	w.mu.Unlock()
	var last error
	for began := time.Now(); ; pause(w.t, 100*time.Millisecond) {
		if last = w.left(); last == nil {
			break
		}
		if time.Since(began) > within || w.t.Context().Err() != nil {
			w.t.Fatalf("after %v: %v", within, last)
		}
	}
	var all map[string]event
	natstest.Eventually(w.t, func() error {
		if all = w.events.all(); len(all) < want {
			return fmt.Errorf("got %d events, want %d", len(all), want)
		}
		return nil
	})
	copies := 0
	for id, ev := range all {
		copies += ev.copies - 1
		if !ev.text {
			w.t.Errorf("event %s is not JSON in UTF-8", id)
		}
	}
	w.t.Logf("%d events, and %d copies of some for a subscriber without JetStream", len(all), copies)
	if got := w.stored(); got != want || len(all) != want {
		w.t.Errorf("got %d events, %d of them stored, want %d", len(all), got, want)
	}
	return all
}

// stored returns how many events the stream has.
func (w *world) stored() int {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), "TASK_RESULTS")
	if err != nil {
		w.t.Fatal(err)
	}
	return int(min(s.CachedInfo().State.Msgs, math.MaxInt)) - w.older
}

// pause waits for d, or until the test ends.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// ended fails the test unless the event has one of the codes. An empty code means success.
func ended(t *testing.T, ev event, codes ...task.Code) {
	t.Helper()
	for _, code := range codes {
		if ev.code == code && (code == "") == (ev.status == task.Succeeded) {
			return
		}
	}
	t.Errorf("%.80s: got %s %s %.200s, want one of %q", ev.taskID, ev.status, ev.code, ev.reason, codes)
}
