package app_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

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
		func(r *rand.Rand) string { // bytes of nothing in particular
			b := make([]byte, r.IntN(2000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return string(b)
		},
	}
}

// largeID begins the task ids of requests that are about as large as NATS lets through, and valid.
const largeID = "large"

func largeRequest(r *rand.Rand) string {
	const size = 1_000_000
	id := fmt.Sprint(largeID, r.Uint64())
	return fmt.Sprintf(`{"task_id":%q,"prompt":%q,"url":"https://example.com/"}`, id, strings.Repeat("y", size))
}

const (
	// hostileMessages in the environment sets how many of them are sent.
	hostileMessages = "CAPSTAN_HOSTILE_MESSAGES"

	// block is how many messages are sent before they are waited for.
	block = 500

	mostMemory = 400 << 20        // of the worker
	longest    = 10 * time.Second // that an honest task may take between them
)

// Messages that no honest publisher sends, and a task now and then between them: each is answered, none
// holds the others up, and the worker does not grow.
func TestHostileMessagesAreAnsweredAndDisturbNobody(t *testing.T) {
	t.Parallel()
	messages := 2 * block
	if n, err := strconv.Atoi(os.Getenv(hostileMessages)); err == nil {
		messages = n
	}
	w := newWorld(t)
	p := w.startReady("w1", "MAX_IN_FLIGHT=100", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s")
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := hostile()
	neighbors, peak := 0, 0.0
	for i := range messages {
		if i%block == block/2 {
			w.submit(fmt.Sprint(honestID, i), done)
			neighbors++
		}
		msg := &nats.Msg{Subject: "tasks.request", Data: []byte(kinds[i%len(kinds)](rng))}
		if _, err := w.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		if i%block == block-1 { // while it still has its hands full
			peak = max(peak, p.metric("process_resident_memory_bytes"))
			w.waitQuiet()
		}
	}
	w.waitQuiet()
	peak = max(peak, p.metric("process_resident_memory_bytes"))
	found := judgeHostile(t, w.waitEvents(messages+neighbors))
	if accepted := w.api.Totals().Accepted; accepted != found.ran {
		t.Errorf("got %d runs and %d events of tasks that ran", accepted, found.ran)
	}
	if want := messages / len(kinds); found.large < want {
		t.Errorf("got %d large requests, want %d", found.large, want)
	}
	if peak > mostMemory {
		t.Errorf("the worker has grown to %.0f MiB", peak/(1<<20))
	}
	p.drain()
	t.Logf("%d messages: %d ran, of these %d of 1 MB; %d refused; peak of memory %.0f MiB; slowest of %d neighbors %v",
		messages+neighbors, found.ran, found.large, found.refused, peak/(1<<20), neighbors, found.slowest.Round(time.Millisecond))
}

// honestID begins the ids of tasks between the hostile messages.
const honestID = "honest"

// aftermath is what came of hostile messages and the tasks between them.
type aftermath struct {
	ran, large, refused int
	slowest             time.Duration // of the honest tasks
}

// judgeHostile fails the test where an event is not what its message deserves.
func judgeHostile(t *testing.T, events []stored) (found aftermath) {
	t.Helper()
	for _, ev := range events {
		honest, large := strings.HasPrefix(ev.TaskID, honestID), strings.HasPrefix(ev.TaskID, largeID)
		took := ev.FinishedAt.Sub(ev.RequestedAt)
		switch {
		case (honest || large) && ev.Status != task.Succeeded:
			t.Errorf("%s: got %+v, want success", ev.TaskID, ev.Error)
		case ev.Status == task.Succeeded, ev.code() == task.InvalidResult:
			found.ran++
		case ev.code() == task.InvalidRequest:
			found.refused++
		default:
			t.Errorf("%s: got %+v, want invalid_request", ev.TaskID, ev.Error)
		}
		if large {
			found.large++
		}
		if honest {
			found.slowest = max(found.slowest, took)
		}
		if honest && took > longest {
			t.Errorf("%s: took %v, want at most %v", ev.TaskID, took, longest)
		}
	}
	return found
}
