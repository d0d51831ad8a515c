package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// named returns secrets with these names.
func named(values map[string]string) redact.Secrets {
	var all []redact.Secret
	for name, value := range values {
		all = append(all, redact.Secret{Name: name, Value: value})
	}
	return redact.New(all...)
}

func pin(value string) redact.Secrets { return named(map[string]string{"PIN": value}) }

// marshal returns the text as encoding/json writes it between the quotes.
func marshal(tb testing.TB, text string, forHTML bool) string {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(forHTML)
	if err := enc.Encode(text); err != nil {
		tb.Fatal(err)
	}
	quoted := strings.TrimSpace(b.String())
	return quoted[1 : len(quoted)-1]
}

// numbered returns the text with each character as a number in HTML.
func numbered(text, format string) string {
	var b strings.Builder
	for _, r := range text {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

// units returns the text with each UTF-16 code unit as an escape of JSON.
func units(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= 0x10000 {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// escapings are the ways to escape a text once.
func escapings(tb testing.TB) map[string]func(string) string {
	tb.Helper()
	return map[string]func(string) string{
		"JSON":          func(s string) string { return marshal(tb, s, false) },
		"JSON for HTML": func(s string) string { return marshal(tb, s, true) },
		"JSON in ASCII": units,
		"JSON with \\/": func(s string) string { return strings.ReplaceAll(marshal(tb, s, false), "/", `\/`) },
		"URL query":     url.QueryEscape,
		"URL path":      url.PathEscape,
		"small hex":     func(s string) string { return strings.ReplaceAll(strings.ToLower(url.QueryEscape(s)), "+", "%20") },
		"HTML":          html.EscapeString,
		"HTML named":    strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace,
		"HTML decimal":  func(s string) string { return numbered(s, "&#%d;") },
		"HTML hex":      func(s string) string { return numbered(s, "&#x%x;") },
		"HTML HEX":      func(s string) string { return numbered(s, "&#X%05X;") },
	}
}

var awkward = []string{
	`a"b`, `back\slash`, "line\nbreak", "<a&b>", "größe", "p w+1/2%", "😀x", `\u0041`, "tab\tquote'", "&amp;", "%41", "\u00a0nbsp", "x",
}

// many returns n secrets of ordinary length.
func many(n int) redact.Secrets {
	values := map[string]string{}
	for i := range n {
		values[fmt.Sprintf("N%d", i)] = fmt.Sprintf("s3cret-%d-%x", i, i*7919)
	}
	return named(values)
}

// endings returns n secrets, each of which is a suffix of the next.
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

// allocated returns the number of bytes that do allocates.
func allocated(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}
