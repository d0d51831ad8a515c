package task_test

import (
	"strings"
	"testing"

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
