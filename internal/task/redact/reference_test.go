package redact_test

import (
	"encoding/json"
	"html"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// char is a byte of an unescaped text, and the stretch of the original that it comes from.
type char struct {
	b        byte
	from, to int
}

// peel removes one layer of escapes, slowly: an escape is what a library decodes as one.
func peel(text []char, kind byte) []char {
	var out []char
	for len(text) > 0 {
		said, width := "", 0
		if text[0].b == kind {
			said, width = escapeAt(text, kind)
		}
		if width == 0 {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		for i := range len(said) {
			out = append(out, char{said[i], text[0].from, text[width-1].to})
		}
		text = text[width:]
	}
	return out
}

// escapeAt decodes the longest escape at the beginning of the text.
func escapeAt(text []char, kind byte) (said string, width int) {
	var b []byte
	for _, c := range text[:min(len(text), 12)] {
		b = append(b, c.b)
	}
	for n := len(b); n >= 2; n-- {
		if said, ok := unescaped(string(b[:n]), kind); ok {
			return said, n
		}
	}
	return "", 0
}

// unescaped decodes a text that is exactly one escape.
func unescaped(escape string, kind byte) (string, bool) {
	switch kind {
	case '\\':
		if escape == `\'` {
			return "'", true
		}
		var said string
		err := json.Unmarshal([]byte(`"`+escape+`"`), &said)
		one := utf8.RuneCountInString(said) == 1 && (len(escape) < 12 || utf8.RuneLen(utf16First(said)) == 4)
		return said, err == nil && one && (len(escape) == 2 || len(escape) == 6 || len(escape) == 12)
	case '%':
		if len(escape) != 3 {
			return "", false
		}
		var said byte
		for _, digit := range []byte(strings.ToLower(escape[1:])) {
			i := strings.IndexByte("0123456789abcdef", digit)
			if i < 0 {
				return "", false
			}
			said = said<<4 | byte(i)
		}
		return string([]byte{said}), true
	default:
		return unescapedHTML(escape)
	}
}

func utf16First(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	if utf16.IsSurrogate(r) {
		return utf8.RuneError
	}
	return r
}

func unescapedHTML(escape string) (string, bool) {
	name, ok := strings.CutSuffix(escape, ";")
	if !ok || strings.Contains(name, ";") {
		return "", false
	}
	if number, ok := strings.CutPrefix(name, "&#"); ok {
		base := 10
		if hex := strings.TrimLeft(number, "xX"); len(hex) == len(number)-1 {
			number, base = hex, 16
		}
		r, err := strconv.ParseUint(number, base, 32)
		return string(rune(r)), err == nil && r <= utf8.MaxRune && number[0] != '+'
	}
	if !slices.Contains([]string{"&amp", "&lt", "&gt", "&quot", "&apos", "&nbsp"}, name) {
		return "", false
	}
	return html.UnescapeString(escape), true
}

// reference returns which bytes of a text belong to a secret in any form.
func reference(text, secret string) []bool {
	hidden := make([]bool, len(text))
	secret = strings.ReplaceAll(secret, "+", " ")
	var raw []char
	for i := range len(text) {
		raw = append(raw, char{text[i], i, i + 1})
	}
	views := [][]char{raw}
	for _, kind := range []byte(`\%&`) {
		once := peel(raw, kind)
		views = append(views, once)
		for _, kind := range []byte(`\%&`) {
			views = append(views, peel(once, kind))
		}
	}
	for _, view := range views {
		for i := range view {
			n := 0
			for n < len(secret) && i+n < len(view) && (view[i+n].b == secret[n] || view[i+n].b == '+' && secret[n] == ' ') {
				n++
			}
			if n == len(secret) {
				for at := view[i].from; at < view[i+n-1].to; at++ {
					hidden[at] = true
				}
			}
		}
	}
	return hidden
}

// marked returns the text with each run of hidden bytes replaced by the mark.
func marked(text string, hidden []bool, mark string) string {
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(mark)
		}
	}
	return b.String()
}

func partOf(value, text string) bool { return strings.Contains(text, value) }

func FuzzTextAgreesWithTheReference(f *testing.F) {
	for _, value := range awkward {
		for _, escape := range escapings(f) {
			f.Add(value, "<"+escape(value)+"+&lt;%41\\n")
			f.Add(value, escape(escape(value))+value+value[:1])
		}
	}
	f.Add("aa", `a\u0061a%61&#97;a`)
	f.Add("a", `\\u0061%2561&amp;#97;%5Cu0061\u002561&#37;61`)
	f.Add("abab", `ababab%2561bab&#x61;b`)
	f.Fuzz(func(t *testing.T, value, text string) {
		if value == "" || !utf8.ValidString(value) || len(text) > 200 {
			return
		}
		got := pin(value).Text(text)
		mark := redact.Bare
		if !partOf(value, "PIN") {
			mark = "[redacted:PIN]"
		}
		if want := marked(text, reference(text, value), mark); got != want {
			t.Fatalf("%q in %q:\ngot  %q\nwant %q", value, text, got, want)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, value := range awkward {
		f.Add(value, "second", []byte(`{"a":[1234,"x","\u0061a"],"b":"`+marshal(f, value, true)+`"}`))
		f.Add("1", value, []byte(`[1,1,"1",`+`"`+marshal(f, marshal(f, value, false), false)+`"]`))
	}
	f.Fuzz(func(t *testing.T, one, two string, raw []byte) {
		if !json.Valid(raw) || !utf8.Valid(raw) {
			return
		}
		s := named(map[string]string{"ONE": one, "TWO": two})
		clean := s.JSON(raw)
		if !json.Valid(clean) {
			t.Fatalf("%q, %q in %s: got %s, want JSON", one, two, raw, clean)
		}
		if len(clean) > 3*len(raw)+32<<10 {
			t.Fatalf("%q, %q in %d bytes: got %d", one, two, len(raw), len(clean))
		}
		if one == "" || two != "" || !utf8.ValidString(one) || partOf(one, "ONE") {
			return
		}
		var got, text string
		if json.Unmarshal(raw, &text) != nil || json.Unmarshal(clean, &got) != nil || raw[0] != '"' || strings.ContainsRune(text, utf8.RuneError) {
			return
		}
		if want := s.Text(text); got != want {
			t.Fatalf("%q in %s:\ngot  %q\nwant %q", one, raw, got, want)
		}
	})
}
