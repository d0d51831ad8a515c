package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// many returns so many secrets of ordinary length.
func many(n int) redact.Secrets {
	values := map[string]string{}
	for i := range n {
		values[fmt.Sprintf("N%d", i)] = fmt.Sprintf("s3cret-%d-%x", i, i*7919)
	}
	return named(values)
}

// endings returns secrets of which each is the ending of the next.
func endings(n int) redact.Secrets {
	values := map[string]string{}
	for i := range n {
		values[fmt.Sprintf("N%d", i)] = strings.Repeat("a", i+1)
	}
	return named(values)
}

// halfMeg is a secret as long as the text may be.
var halfMeg = strings.Repeat("ab", 256<<10)

var cases = []struct {
	name, text string
	secrets    redact.Secrets
}{
	{"prose", "Read the page, find the price, and say that it is done. ", many(1)},
	{"prose, 100 secrets", "Read the page, find the price, and say that it is done. ", many(100)},
	{"page", `<p class=\"price\">1,200 &amp; more</p>\n<a href=\"/a?b=c%20d\">Read the page, find the price</a>`, many(1)},
	{"page, 100 secrets", `<p class=\"price\">1,200 &amp; more</p>\n<a href=\"/a?b=c%20d\">Read the page, find the price</a>`, many(100)},
	{"escapes of all kinds", `+%41\\n&amp;`, many(100)},
	{"nested escapes", `\\u0025%5C&#37;&#92;\u0026%26`, many(100)},
	{"a letter repeated", "a", pin("a")},
	{"a letter and blanks", "a ", pin("a")},
	{"100 endings", "a", endings(100)},
	{"half a megabyte", "ab", pin(halfMeg)},
	{"half a megabyte and its ending", "ab", named(map[string]string{"LONG": halfMeg, "B": "b"})},
	{"half a megabyte, never whole", "abababac", pin(halfMeg)},
}

// repeat returns n bytes of the text repeated.
func repeat(text string, n int) string { return strings.Repeat(text, n/len(text)+1)[:n] }

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

// What each event costs: the tables are made for it.
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
