package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/task"
)

// The table in the documentation is the one that -help prints, in Markdown.
func TestTheREADMEListsTheSettings(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := app.Settings()
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
		t.Errorf("docs/settings.md: the settings are not those of -help; the table should be\n%s", want.String())
	}
}

// The messages in the documents are ones that a worker takes and publishes.
func TestTheREADMEShowsRealMessages(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "docs/messages.md"} {
		t.Run(file, func(t *testing.T) { checkMessages(t, "../../"+file) })
	}
}

func checkMessages(t *testing.T, file string) {
	t.Helper()
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) != 2 {
		t.Fatalf("got %d messages, want a request and an event", len(blocks))
	}
	if _, err := task.ParseRequest(task.Delivery{Stream: "TASKS", Seq: 1, Data: blocks[0][1]}, task.Defaults{Timeout: time.Hour}); err != nil {
		t.Error(err)
	}
	var ev task.Event
	strict := json.NewDecoder(bytes.NewReader(blocks[1][1]))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&ev); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := json.Compact(&shown, blocks[1][1]); err != nil {
		t.Fatal(err)
	}
	if written, err := ev.JSON(); err != nil || !bytes.Equal(written, shown.Bytes()) {
		t.Errorf("got %s, %v\nwant %s", written, err, shown.Bytes())
	}
}

// The table in the documentation has a row for each error code, and says of each whether asking again can help.
func TestTheREADMEListsTheErrorCodes(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "\n| `error.code` | when | retryable |\n")
	if !ok {
		t.Fatal("got no table of error codes, want one")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .* \\| (yes|no).* \\|$").FindAllStringSubmatch(table, -1)
	got := map[task.Code]bool{}
	for _, row := range rows {
		got[task.Code(row[1])] = row[2] == "yes"
	}
	for _, code := range task.Codes() {
		if retryable, ok := got[code]; !ok || retryable != code.Retryable() {
			t.Errorf("%s: got a row %v that says retryable %v, want one that says %v", code, ok, retryable, code.Retryable())
		}
	}
	if len(rows) != len(task.Codes()) {
		t.Errorf("got %d rows, want one for each of %d codes", len(rows), len(task.Codes()))
	}
}
