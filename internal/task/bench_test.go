package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// small is about the size of most requests.
const small = `{
  "task_id": "ord-1842",
  "prompt": "Open the order page, read the heading and the total, and return both of them as JSON.",
  "url": "https://shop.example/orders/1842?view=full",
  "agent": "browser-use",
  "max_steps": 40,
  "timeout": "10m",
  "secret_values": {"PIN": "482913"},
  "metadata": {"order": 1842, "customer": "c-77"}
}`

func BenchmarkParseRequest(b *testing.B) {
	prompt := func(sentence string) string {
		return `{"prompt":"` + strings.Repeat(sentence, 1<<20/len(sentence)) + `","url":"https://a.example"}`
	}
	for _, bc := range []struct{ name, data string }{
		{"small", small},
		{"schema", schemaRequest(heading)},
		{"1MB", prompt(`Read the page, find the price, and say \"done\".\n`)},
		{"1MB of HTML", prompt(`<p class=\"price\">Read the page, find the price</p>\n`)},
		{"1MB of escapes", prompt(`\u041f\u0440\u043e\u0447\u0438\u0442\u0430\u0439 \u0441\u0442\u0440\u0430\u043d\u0438\u0446\u0443`)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := task.ParseRequest(message(bc.data), defaults); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Three records and an event are written for each task.
func BenchmarkRecord(b *testing.B) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	rec := task.Record{
		TaskID: "ord-1842", State: task.Running, Owner: "worker-6f9d7c", Epoch: 1, RequestSeq: 1842, Digest: strings.Repeat("0123456789abcdef", 4),
		WorkflowID: "perform-web-task-execution-0d8f", Attempts: 1, RequestedAt: at, SubmittedAt: at, UpdatedAt: at,
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rec.JSON()
		}
	})
	written := rec.JSON()
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := task.ParseRecord(written); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for name, result := range map[string]string{"small": `{"heading":"Hello"}`, "1MB": `"` + strings.Repeat("x", 1<<20) + `"`} {
		ev := task.Event{
			TaskID: "ord-1842", Status: task.Succeeded, WorkflowID: "perform-web-task-execution-0d8f", WorkflowStatus: "COMPLETED",
			Result: json.RawMessage(result), Metadata: json.RawMessage(`{"order":1842}`), RequestedAt: at, SubmittedAt: at, FinishedAt: at,
			Attempts: 1, Polls: 9, UnnoticedMS: 120, Worker: "worker-6f9d7c",
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ev.JSON(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
