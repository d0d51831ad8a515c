package app_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
)

// The README's table is the one that -help prints, in Markdown.
func TestTheREADMEListsTheSettings(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := app.Settings()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| variable | default | |\n| --- | --- | --- |\n")
	for _, s := range settings {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", s.Name, value, s.Description)
	}
	if !strings.Contains(string(readme), want.String()) {
		t.Errorf("the README's settings are not those of -help; its table should be\n%s", want.String())
	}
}
