package app_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/task"
)

// hostile returns messages that want to crash, stall or bloat whoever reads them.
func hostile() []func(*rand.Rand) string {
	valid := func(more string) string { return `{"prompt":"x","url":"https://example.com"` + more + `}` }
	repeat := strings.Repeat
	return []func(*rand.Rand) string{
		func(*rand.Rand) string { return "" },
		func(*rand.Rand) string { return "null" },
		func(r *rand.Rand) string { return repeat("[", 1+r.IntN(20_000)) },
		func(r *rand.Rand) string { return valid(`,"metadata":` + repeat(`{"a":`, r.IntN(5_000))) },
		func(r *rand.Rand) string {
			n := r.IntN(5_000)
			return valid(`,"metadata":{"a":` + repeat("[", n) + repeat("]", n) + `}`)
		},
		func(r *rand.Rand) string {
			size := r.IntN(10_000)
			if r.IntN(20) == 0 {
				size = 1_000_000
			}
			return `{"prompt":"` + repeat("y", size) + `"`
		},
		func(r *rand.Rand) string { return valid(`,"prompt":"` + repeat("z", r.IntN(1000)) + `"`) },
		func(*rand.Rand) string { return valid(`,"metadata":{"a":1,"a":2}`) },
		func(*rand.Rand) string { return valid(`,"max_steps":1e999999999`) },
		func(*rand.Rand) string { return valid(`,"metadata":{"n":-1e-99999999999}`) },
		func(*rand.Rand) string { return valid(`,"output_schema":{"type":"number","multipleOf":1e-9999999}`) },
		func(*rand.Rand) string { return valid(`,"output_schema":{"$ref":"file:///etc/passwd"}`) },
		func(*rand.Rand) string { return valid(`,"output_schema":{"$ref":"http://127.0.0.1:1/x"}`) },
		func(*rand.Rand) string { return valid(`,"output_schema":{"pattern":"(a+)+$(?=b)"}`) },
		func(*rand.Rand) string { return valid(`,"output_schema":{"pattern":"((((("}`) },
		func(*rand.Rand) string { return "{\"prompt\":\"\xff\xfe\",\"url\":\"https://example.com\"}" },
		func(*rand.Rand) string { return valid(`,"metadata":{"s":"\ud800"}`) },
		func(r *rand.Rand) string { return valid(fmt.Sprintf(`,"task_id":%q`, repeat("i", 129+r.IntN(1000)))) },
		func(*rand.Rand) string { return valid(`,"task_id":"../../etc"`) },
		func(*rand.Rand) string { return valid(`,"task_id":">"`) },
		func(*rand.Rand) string { return valid(`,"timeout":"9999999h"`) },
		func(*rand.Rand) string { return valid(`,"secret_values":{"a":{"b":1}}`) },
		func(r *rand.Rand) string { // bytes of nothing in particular
			b := make([]byte, r.IntN(2000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return string(b)
		},
	}
}

// hostileMessages in the environment sets how many of them are sent.
const hostileMessages = "CAPSTAN_HOSTILE_MESSAGES"

// Messages that no honest publisher sends, and a task now and then between them: each is answered, none
// holds the others up, and the worker does not grow.
func TestHostileMessagesAreAnsweredAndDisturbNobody(t *testing.T) {
	t.Parallel()
	const every = 500
	messages := 2 * every
	if n, err := strconv.Atoi(os.Getenv(hostileMessages)); err == nil {
		messages = n
	}
	w := newWorld(t)
	p := w.startReady("w1", "MAX_IN_FLIGHT=100", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s")
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := hostile()
	honest := map[string]bool{}
	for i := range messages {
		if i%every == 0 {
			id := fmt.Sprint("honest", i)
			honest[id] = true
			w.submit(id, done)
		}
		msg := &nats.Msg{Subject: "tasks.request", Data: []byte(kinds[i%len(kinds)](rng))}
		if _, err := w.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		if i%every == every-1 {
			w.waitQuiet()
		}
	}
	w.waitQuiet()
	ran := 0
	for _, ev := range w.waitEvents(messages + len(honest)) {
		switch {
		case honest[ev.TaskID] && ev.Status != task.Succeeded:
			t.Errorf("an honest task: got %+v", ev.Error)
		case ev.Status == task.Succeeded, ev.code() == task.InvalidResult:
			ran++
		case ev.code() != task.InvalidRequest:
			t.Errorf("got %+v, want invalid_request", ev.Error)
		}
	}
	if accepted := w.api.Totals().Accepted; accepted != ran {
		t.Errorf("got %d runs and %d events of tasks that ran", accepted, ran)
	}
	if got := p.metric("process_resident_memory_bytes"); got > 400<<20 {
		t.Errorf("the worker has grown to %.0f MiB", got/(1<<20))
	}
	p.drain()
}
