package hostile_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// messages returns messages that are made to crash, stall or bloat their reader.
func messages() []func(*rand.Rand) string {
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
		largeRequest,
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
		func(r *rand.Rand) string { // random bytes
			b := make([]byte, r.IntN(2000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return string(b)
		},
	}
}

// largeID begins the task ids of valid requests that are about as large as NATS allows.
const largeID = "large"

func largeRequest(r *rand.Rand) string {
	const size = 1_000_000
	id := fmt.Sprint(largeID, r.Uint64())
	return fmt.Sprintf(`{"task_id":%q,"prompt":%q,"url":"https://example.com/"}`, id, strings.Repeat("y", size))
}

// block is how many messages are sent before the test waits for the worker.
const block = 500

// Each hostile message is answered, none delays the honest tasks, and the worker does not grow.
func TestHostileMessagesAreAnsweredAndDelayNoOther(t *testing.T) {
	n := 2 * block
	if asked, err := strconv.Atoi(os.Getenv(messagesVariable)); err == nil {
		n = asked
	}
	w := newWorld(t)
	w.start("MAX_IN_FLIGHT=100")
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := messages()
	stop := w.neighbors()
	defer stop()
	for i := range n {
		w.publish(kinds[i%len(kinds)](rng))
		if i%block == block-1 {
			w.settle()
		}
	}
	stop()
	large, ran := 0, 0
	for _, ev := range w.judgeNeighbors(w.await(2 * time.Minute)) {
		if strings.HasPrefix(ev.taskID, largeID) {
			ended(t, ev, "")
			large++
		} else {
			ended(t, ev, "", task.InvalidRequest, task.InvalidResult)
		}
		if ev.code != task.InvalidRequest {
			ran++
		}
	}
	if want := n / len(kinds); large < want {
		t.Errorf("got %d large requests, want %d", large, want)
	}
	if ran < large {
		t.Errorf("got %d tasks that ran, want at least the %d large ones", ran, large)
	}
	w.survived()
}

// settle waits until few requests are left, so that the stream does not grow.
func (w *world) settle() {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; pause(w.t, 50*time.Millisecond) {
		s, err := w.js.Stream(w.t.Context(), "TASKS")
		if err == nil && s.CachedInfo().State.Msgs < block/10 {
			return
		}
	}
	w.t.Fatal("the worker does not keep up with the messages")
}
