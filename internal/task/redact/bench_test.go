package redact_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

func BenchmarkText(b *testing.B) {
	for _, bc := range cases {
		b.Run(bc.name, func(b *testing.B) {
			in := repeat(bc.text, 1<<20)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var out string
			for b.Loop() {
				out = bc.secrets.Text(in)
			}
			b.ReportMetric(float64(len(out))/float64(len(in)), "out/in")
		})
	}
}

// BenchmarkEvent measures the cost for each event, including that of the tables.
func BenchmarkEvent(b *testing.B) {
	key := redact.Secrets{}.With("sk-0123456789abcdef0123456789abcdef")
	in := []byte(`{"heading":"Your order","total":"12.50","lines":["` + repeat("a line of the page, ", 1000) + `"]}`)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		key.JSON(in)
	}
}

func BenchmarkJSON(b *testing.B) {
	for _, bc := range []struct {
		name, part string
		secrets    redact.Secrets
	}{
		{"strings", `"Read the page,\nfind the price",`, many(1)},
		{"strings, 100 secrets", `"Read the page,\nfind the price",`, many(100)},
		{"numbers", `1234567,`, many(1)},
		{"a digit", `1,`, pin("1")},
		{"strings of a letter", `"a",`, pin("a")},
	} {
		b.Run(bc.name, func(b *testing.B) {
			in := []byte("[" + strings.Repeat(bc.part, 1<<20/len(bc.part)) + "0]")
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out = bc.secrets.JSON(in)
			}
			b.ReportMetric(float64(len(out))/float64(len(in)), "out/in")
		})
	}
}
