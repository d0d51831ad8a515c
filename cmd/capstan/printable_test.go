package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestTextThatCouldControlTheTerminalIsShownEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                       "plain",
		"two\r\n lines\tand a tab":    "two lines and a tab",
		"\x1b[2J\x07\x9b":             `\x1b[2J\a\x9b`,
		"\u009b31m":                   `\u009b31m`,
		"\u202egnp.exe\u2069":         `\u202egnp.exe\u2069`,
		"\ufeffbyte order mark":       `\ufeffbyte order mark`,
		"\U000e0001tag":               `\U000e0001tag`,
		"日本 é 👍":                      "日本 é 👍",
		"👩\u200d🚀":                    "👩🚀",
		"e" + strings.Repeat("́", 10): "e" + strings.Repeat("́", mostMarks) + `\u0301\u0301`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got, want := printableWord("a b\u00a0\x1b"), `a\x20b\x20\x1b`; got != want {
		t.Errorf("word: got %q, want %q", got, want)
	}
	if got, want := printableWord(""), "-"; got != want {
		t.Errorf("no word: got %q, want %q", got, want)
	}
}

func TestLongTextIsCutToItsLimit(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("ä", 200): strings.Repeat("ä", 8) + "…",
		"日本語のテキスト":               "日本語の…",
		"\x1b\x1b\x1b":           `\x1b\x1b…`,
		"it fits":                "it fits",
	} {
		if got := oneLine(text, 9); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestTextIsWrappedAtItsSpaces(t *testing.T) {
	for _, c := range []struct {
		text, separator string
		want            []string
	}{
		{"it fits", " ", []string{"it fits"}},
		{"the workflow failed", " ", []string{"the", "workflow", "failed"}},
		{"a task of a batch", " ", []string{"a task of", "a batch"}},
		{"ord-1842-of-the-night fails", " ", []string{"ord-1842-o", "f-the-nigh", "t fails"}},
		{"日本語のテキスト", " ", []string{"日本語のテ", "キスト"}},
		{"timeout 10, x 5", " ", []string{"timeout", "10, x 5"}},
		{"timeout 1, x 5", ", ", []string{"timeout 1,", "x 5"}},
		{"a 10, b 5, c 7", ", ", []string{"a 10, b 5,", "c 7"}},
	} {
		if got := wrapLines(c.text, c.separator, 10); !slices.Equal(got, c.want) {
			t.Errorf("%q, at %q: got %q, want %q", c.text, c.separator, got, c.want)
		}
	}
	if got, want := wrapAtMost("one two three four five", " ", 9, 2), []string{"one two", "three fo…"}; !slices.Equal(got, want) {
		t.Errorf("two lines: got %q, want %q", got, want)
	}
	if got := wrapLines(strings.Repeat("no end ", 1000), " ", 0); len(got) != 1 {
		t.Errorf("no limit: got %d lines, want 1", len(got))
	}
	for _, line := range wrapLines(strings.Repeat("日", 500_000), " ", 61) {
		if got := runewidth.StringWidth(line); got > 61 {
			t.Fatalf("a long word: got a line of %d, want 61 at most", got)
		}
	}
}
