package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// folderOf returns a folder with these files: names and contents in turn.
func folderOf(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	orders       = "name,url\nfirst,https://shop.example.com/1\nsecond,https://shop.example.com/2\n"
	orderRequest = `{"prompt": "Price of {{name}}", "url": "{{url}}"}`
)

func TestMistakesInABatchAreReportedBeforeAnythingIsSent(t *testing.T) {
	nowhere := []string{"NATS_URL=nats://127.0.0.1:1"}
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no template":            {[]string{"-f", "orders.csv"}, exitUsage, "orders.csv is read as CSV, which needs --template FILE"},
		"absent template":        {[]string{"-f", "orders.csv", "--template=absent.json"}, exitUsage, "--template: open absent.json"},
		"no ids":                 {[]string{"-f", "orders.csv", "--template=req.json"}, exitUsage, "orders.csv:2: has no task_id; add one, or use --batch NAME"},
		"a bad batch":            {[]string{"-f", "orders.csv", "--template=req.json", "--batch=a b"}, exitUsage, "--batch: batch must be 1 to 64"},
		"a format that is none":  {[]string{"-f", "orders.csv", "--format=xml"}, exitUsage, `--format must be json, jsonl or csv (got "xml")`},
		"a negative canary":      {[]string{"-f", "orders.csv", "--canary=-1"}, exitUsage, "--canary must be a number above 0"},
		"a share above all":      {[]string{"-f", "orders.csv", "--min-success=80"}, exitUsage, "--min-success must be from 0 to 1"},
		"a share of no canary":   {[]string{"-f", "orders.csv", "--min-success=0.5"}, exitUsage, "--min-success has no effect without --canary: add --canary N"},
		"a share of one prompt":  {[]string{"--url=https://a.example", "p", "--min-success=0.8"}, exitUsage, "are for a file: use -f FILE"},
		"a report without wait":  {[]string{"-f", "orders.csv", "--template=req.json", "--batch=b", "--report=out.jsonl"}, exitUsage, "--report has no effect without --wait"},
		"a canary of one prompt": {[]string{"--url=https://a.example", "p", "--canary=1"}, exitUsage, "are for a file: use -f FILE"},
		"a hostile line":         {[]string{"-f", "hostile.jsonl"}, exitUsage, `hostile.jsonl:1: unknown field "a\x1b[2J"`},
		"all is right":           {[]string{"-f", "orders.csv", "--template=req.json", "--batch=b"}, exitNATS, "no NATS at nats://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := newTool(t, nowhere, append([]string{"submit"}, c.args...)...)
			run.Dir = folderOf(t, "orders.csv", orders, "req.json", orderRequest, "hostile.jsonl", `{"task_id":"a","prompt":"p","url":"https://a.example","a\u001b[2J":1}`+"\n{}")
			got := run.status(t)
			if got != c.status || !strings.Contains(run.err.String(), c.says) || strings.Contains(run.err.String(), "\x1b") {
				t.Errorf("got %d, %q, want %d and %q", got, &run.err, c.status, c.says)
			}
		})
	}
}

// queue is a server with the streams that submit needs, and no worker.
func queue(t *testing.T) (js jetstream.JetStream, env []string) {
	t.Helper()
	server := natstest.Start(t)
	_, js = server.Connect()
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASK_RESULTS", Subjects: []string{"tasks.result"}})
	return js, []string{"NATS_URL=" + server.URL()}
}

func TestABatchIsSentOnceHoweverOftenItIsSubmitted(t *testing.T) {
	t.Parallel()
	js, env := queue(t)
	dir := folderOf(t, "orders.csv", orders, "req.json", orderRequest)
	for _, want := range []string{"2 tasks in batch night: 2 stored, 0 were there before\n", "2 tasks in batch night: 0 stored, 2 were there before\n"} {
		run := newTool(t, env, "submit", "-f", "orders.csv", "--template=req.json", "--batch=night")
		run.Dir = dir
		if got := run.status(t); got != exitOK || run.out.String() != want {
			t.Errorf("got %d, %q%s, want %q", got, &run.out, &run.err, want)
		}
	}
	stream, err := js.Stream(t.Context(), "TASKS")
	if err != nil || stream.CachedInfo().State.Msgs != 2 {
		t.Fatalf("got %v, want two requests", err)
	}
	var got []string // two that are sent at once are stored in either order
	for seq := range uint64(2) {
		msg, err := stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(msg.Data))
	}
	slices.Sort(got)
	want := []string{
		`{"prompt":"Price of first","url":"https://shop.example.com/1","task_id":"night-000002","batch":"night"}`,
		`{"prompt":"Price of second","url":"https://shop.example.com/2","task_id":"night-000003","batch":"night"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCountsAreWholeSentences(t *testing.T) {
	if got, want := countsText(send.Counts{Stored: 2, Before: 1, Unsent: 3}), "2 stored, 1 was there before, 3 not sent"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestARequestFromFlagsCanHaveABatch(t *testing.T) {
	s, err := parse(t, "p", "--url=https://a.example", "--batch=night")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.input(nil)
	if want := `{"prompt":"p","url":"https://a.example","batch":"night"}`; err != nil || string(got.data) != want || s.isBatch(got) {
		t.Errorf("got %s, %v, want %s", got.data, err, want)
	}
}

func TestInterruptedAndImpatientWaitsSayHowToContinue(t *testing.T) {
	t.Parallel()
	_, env := queue(t)
	dir := folderOf(t, "orders.csv", orders, "req.json", orderRequest)
	args := []string{"submit", "-f", "orders.csv", "--template=req.json", "--batch=night", "--wait"}
	impatient := newTool(t, env, append(args, "--wait-timeout=100ms")...)
	impatient.Dir = dir
	if got := impatient.status(t); got != exitWaited || !strings.Contains(impatient.err.String(), "waited for 100ms: 0 of 2 have ended") {
		t.Errorf("got %d, %s, want that nothing has ended", got, &impatient.err)
	}
	canary := newTool(t, env, append(args, "--canary=1", "--wait-timeout=100ms")...)
	canary.Dir = dir
	if got := canary.status(t); got != exitWaited || !strings.Contains(canary.err.String(), "0 of 1 have ended") {
		t.Errorf("canary: got %d, %s, want that nothing has ended", got, &canary.err)
	}
	interrupted := newTool(t, env, args...)
	interrupted.Dir = dir
	interrupted.begin(t)
	interrupted.out.await(t, "2 were there before")
	if err := interrupted.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	interrupted.err.await(t, "the tasks keep running, and the same command waits for them again")
	_ = interrupted.Wait()
	if got := interrupted.ProcessState.ExitCode(); got != 130 {
		t.Errorf("got %d, want 130", got)
	}
}
