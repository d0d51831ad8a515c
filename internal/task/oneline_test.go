package task_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestATextFromElsewhereBecomesOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"a\r\n\x00b\x7f c":      "a   b  c",
		"caf\xe9":               "caf�",
		"ääää":                  "ääää",
		"äääää":                 "ääää…",
		"xäääää":                "xäää…",
		strings.Repeat("\n", 9): "…",
	} {
		if got := task.OneLine(text, 8); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
