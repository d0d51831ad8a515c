package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tool prints the files of the folder api, byte for byte, and needs no server for it.
func TestSchemaPrintsThePublishedFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "schemas")
	if got := printed(t, []string{"NATS_URL=nats://127.0.0.1:1"}, "schema", "--dir", dir); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
	list := printed(t, nil, "schema")
	files, err := filepath.Glob("../../api/*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("got %v, %v, want 9 files", files, err)
	}
	for _, file := range files {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		if got := printed(t, []string{"NATS_URL=nats://127.0.0.1:1"}, "schema", name); got != string(want) {
			t.Errorf("capstan schema %s: got another text than %s", name, file)
		}
		if got, err := os.ReadFile(filepath.Join(dir, filepath.Base(file))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("capstan schema --dir: got another file than %s, %v", file, err)
		}
		if !strings.Contains("\n"+list, "\n"+name+" ") {
			t.Errorf("capstan schema: got %s, want a line for %s", list, name)
		}
	}
}

func TestAnUnknownSchemaIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"schema", "events"}, `the name of a schema must be one of request, event, record, cancel, pause, limits, starts, pace, asyncapi (got "events")`},
		{[]string{"schema", "event", "--dir", "x"}, "give a name or --dir, not both"},
	} {
		run := newTool(t, nil, tc.args...)
		if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), tc.want) || run.out.String() != "" {
			t.Errorf("%v: got %d, %s%s, want %d and %s", tc.args, got, &run.out, &run.err, exitUsage, tc.want)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := newTool(t, nil, "schema", "--dir", file)
	if got := run.status(t); got != exitFailed || !strings.Contains(run.err.String(), file) {
		t.Errorf("a file for a folder: got %d, %s, want %d and its name", got, &run.err, exitFailed)
	}
}
