package hostile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// publish publishes a message as a request. Headers are names and values in turn.
func (w *world) publish(data string, headers ...string) {
	w.t.Helper()
	if err := w.send(data, headers...); err != nil {
		w.t.Fatal(err)
	}
}

// send publishes a message as a request, from any goroutine.
func (w *world) send(data string, headers ...string) error {
	msg := &nats.Msg{Subject: "tasks.request", Header: nats.Header{}, Data: []byte(data)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := w.js.PublishMsg(w.t.Context(), msg); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return nil
}

// request returns a request whose task has the plan with that name, with more members as JSON.
func request(id, plan string, more ...string) string {
	members := append([]string{fmt.Sprintf(`{"task_id":%q,"url":"https://example.com/","prompt":%s`, id, quote(plan+" x"))}, more...)
	return strings.Join(members, ",") + "}"
}

// quote returns a text as JSON.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // cannot happen to a string
	}
	return string(quoted)
}

// member returns a member of an object, as JSON.
func member(name, value string) string { return quote(name) + ":" + value }

const (
	honestID = "honest"

	// honestTime is how long an honest task may take, which runs for a fifth of a second.
	honestTime = 5 * time.Second
)

// neighbors publishes an honest task twice a second, until the caller calls stop.
func (w *world) neighbors() (stop func()) {
	w.t.Helper()
	w.setPlan(honestID, anchortest.Plan{Run: 200 * time.Millisecond, Result: json.RawMessage(`{"heading":"Hello"}`)})
	stopped := make(chan struct{})
	var asking sync.WaitGroup
	w.mu.Lock()
	w.rounds++
	round := w.rounds
	w.mu.Unlock()
	asking.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stopped:
				return
			case <-w.t.Context().Done():
				return
			case <-tick.C:
				if err := w.send(request(fmt.Sprintf("%s-%d-%d", honestID, round, i), honestID)); err != nil {
					w.t.Error(err)
					return
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stopped)
		asking.Wait()
	})
}

// judgeNeighbors fails the test unless all honest tasks succeeded in time, and returns the other events.
func (w *world) judgeNeighbors(all map[string]event) []event {
	w.t.Helper()
	var others []event
	var slowest time.Duration
	n := 0
	for _, ev := range all {
		if !strings.HasPrefix(ev.taskID, honestID) {
			others = append(others, ev)
			continue
		}
		n++
		ended(w.t, ev, "")
		if slowest = max(slowest, ev.took); ev.took > honestTime {
			w.t.Errorf("%s: took %v, want at most %v", ev.taskID, ev.took, honestTime)
		}
	}
	w.t.Logf("slowest of %d neighbors: %v", n, slowest.Round(time.Millisecond))
	return others
}
