package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// newReader returns a client of a server that has the streams and buckets that are read, and no worker.
func newReader(t *testing.T) *client {
	t.Helper()
	c := newClient(t, natstest.Start(t))
	for _, bucket := range []string{"task_tracker", "task_control"} {
		if _, err := c.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// put writes a value of a bucket.
func (c *client) put(t *testing.T, bucket, key, value string) {
	t.Helper()
	kv, err := c.js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// runTool runs the tool with these arguments in a pipe, and returns its output and exit status.
func runTool(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	return runToolIn(t, room{}, args...)
}

// runToolIn is runTool on a terminal of this size.
func runToolIn(t *testing.T, size room, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e output
	status = run(t.Context(), args, &terminal{out: &o, err: &e, size: func() room { return size }})
	return status, o.String(), e.String()
}

func TestMistakesInTheFlagsOfReadingCommands(t *testing.T) {
	for args, says := range map[string]string{
		"list --state=moon":                           `--state must be one of queued, waiting, submitting, running, succeeded, failed, canceled (got "moon")`,
		"list --code=moon":                            `--code must be one of invalid_request, duplicate_task,`,
		"list --since=-5m":                            "--since must be a duration above 0, such as 1h (got -5m0s)",
		"list --limit=-1":                             "--limit must be 0 or more (got -1)",
		"list --state=running --code=timeout":         "--code needs --state failed, or no --state",
		"watch --code=moon":                           `--code must be one of invalid_request,`,
		"watch --until-done":                          "--until-done needs --batch NAME",
		"watch --until-done --until-now --batch=b":    "--until-now and --until-done exclude each other: give one of them",
		"watch --task=a..b":                           "--task",
		"why a..b":                                    "task_id",
		"list --code=\x1b[2J":                         `(got "\x1b[2J")`,
		"status --watch=maybe":                        "--watch",
		"watch --since=1h --all --until-now":          "--since and --all exclude each other: give one of them",
		"list --code=" + strings.Repeat("x", 100_000): "…",
	} {
		status, out, errs := runTool(t, strings.Fields(args)...)
		if status != exitUsage || !strings.Contains(errs, says) || strings.Contains(errs, "\x1b") || out != "" {
			t.Errorf("%.60s: got %d, %.300s%s, want %d and %q", args, status, out, errs, exitUsage, says)
		}
	}
}

// Whoever may write a record, an event or a request can put anything there.
func TestNothingThatIsReadControlsTheTerminal(t *testing.T) {
	c := newReader(t)
	const evil = "\x1b[2J\u202egnp.exe\u009b31m\x07\r\n"
	long := strings.Repeat("x", 500_000)
	record := func(r task.Record) {
		r.Owner, r.Host, r.Batch, r.RequestedAt, r.UpdatedAt = evil, evil, evil, time.Now(), time.Now()
		c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	}
	record(task.Record{TaskID: "runs", State: task.Running, WorkflowID: evil, SubmittedAt: time.Now(), Runs: []task.Run{{Code: evil, WorkflowID: evil, SessionID: evil}}, Run: 1, SessionID: evil, Steps: new(-1), Credits: new(1e300), LiveView: evil})
	record(task.Record{TaskID: "waits", State: task.Waiting, WaitsFor: evil})
	record(task.Record{TaskID: "broke", State: task.Failed, ErrorCode: evil + task.Code(long)})
	c.store(t, "bad", false, task.Event{TaskID: "bad", Status: task.Failed, Batch: evil, Worker: evil, Error: task.NewError(evil, evil+long)})
	c.put(t, "task_control", "pause", `{"reason":"`+strings.ReplaceAll(evil, "\r\n", "")+`"}`)
	c.put(t, "task_control", "cancel.runs", evil)
	c.put(t, "task_control", "limits", fmt.Sprintf(`{"in_flight":1,"plan":1,"reason":%q}`, long))
	if _, err := c.js.Publish(t.Context(), "tasks.request", []byte(`{"task_id":"\u001b[2J","prompt":"`+long+`"}`)); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"list", "list --json", "status", "status --json", "get runs", "get waits --json", "get broke", "get broke --json", "get bad", "get bad --json", "get TASKS-1",
		"why runs", "why waits", "why broke", "why bad", "why TASKS-1", "watch --until-now", "watch --until-now --json",
	} {
		for _, size := range []room{{}, {columns: 60, rows: 24}, {columns: 200, rows: 50}} {
			status, out, errs := runToolIn(t, size, strings.Fields(args)...)
			if status != exitOK || out == "" {
				t.Errorf("%s: got %d, %.200q, %.200q", args, status, out, errs)
			}
			if i := strings.IndexAny(out+errs, "\x1b\u202e\u009b\x07\r"); i >= 0 {
				t.Errorf("%s: got %q, want nothing that controls a terminal", args, (out + errs)[max(0, i-40):i+10])
			}
			if !size.isTerminal() || strings.Contains(args, "--json") {
				continue
			}
			if len(out) > 20_000 {
				t.Errorf("%s: got %d bytes, want the long texts cut", args, len(out))
			}
			for line := range strings.Lines(out) {
				if got := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); got > size.columns {
					t.Errorf("%s: got %d columns, want %d at most: %s", args, got, size.columns, line)
				}
			}
		}
	}
}

func TestAListIsAlignedAndSaysWhatTasksWaitFor(t *testing.T) {
	c := newReader(t)
	for i, r := range []task.Record{
		{TaskID: "a", State: task.Succeeded, Batch: "night", Host: "shop.example", SubmittedAt: time.Now().Add(-90 * time.Second), FinishedAt: time.Now()},
		{TaskID: "a-long-id", State: task.Failed, ErrorCode: task.Timeout, Host: "日本.example"},
		{TaskID: "b", State: task.Waiting, WaitsFor: task.ForPlan, Host: "x.example"},
	} {
		r.UpdatedAt = time.Now().Add(-time.Duration(i) * time.Second)
		c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	}
	_, out, _ := runToolIn(t, room{columns: 120, rows: 24}, "list")
	got := strings.Split(strings.TrimSpace(out), "\n")
	for i, want := range []string{
		"  a          ✓ succeeded  night  shop.example  ran 1m30s",
		"  a-long-id  ✗ timeout           日本.example",
		"  b            waiting           x.example     waits for a browser of the plan",
	} {
		if len(got) != 3 || !strings.HasSuffix(got[i], want) {
			t.Errorf("got\n%s\nwant line %d to end in\n%s", out, i, want)
		}
	}
	_, out, _ = runTool(t, "list", "--json", "--code", "timeout")
	var entry struct {
		ID   string `json:"task_id"`
		Code string
	}
	if err := json.Unmarshal([]byte(out), &entry); err != nil || entry.ID != "a-long-id" || entry.Code != "timeout" {
		t.Errorf("got %s, %v", out, err)
	}
	c.put(t, "task_tracker", "c", string(task.Record{TaskID: "c", State: task.Failed, ErrorCode: task.Canceled, UpdatedAt: time.Now().Add(-time.Hour)}.JSON()))
	for states, want := range map[string]string{"canceled": "c", "failed": "a-long-id c", "canceled,succeeded": "a c"} {
		_, out, _ := runTool(t, "list", "--state", states)
		var ids []string
		for line := range strings.Lines(out) {
			ids = append(ids, strings.Fields(line)[1])
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("--state %s: got %s, want %s", states, got, want)
		}
	}
	for limit, says := range map[string]string{"2": "these are the newest 2; --limit 0 lists all\n", "4": "", "0": ""} {
		if status, out, errs := runTool(t, "list", "--limit", limit); status != exitOK || limit == "2" && strings.Count(out, "\n") != 2 || errs != says {
			t.Errorf("--limit %s: got %d, %s%s, want %q", limit, status, out, errs, says)
		}
	}
	if status, out, errs := runTool(t, "list", "--batch", "other"); status != exitOK || out != "" || !strings.Contains(errs, "no task matches") {
		t.Errorf("none: got %d, %q, %q", status, out, errs)
	}
}

func TestGetShowsAQueuedTask(t *testing.T) {
	c := newReader(t)
	if _, err := c.js.Publish(t.Context(), "tasks.request", []byte(`{"task_id":"a","prompt":"p","url":"https://shop.example"}`)); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := runTool(t, "get", "a"); status != exitOK || !strings.Contains(out, "\nstate      queued\nposition   1\n") {
		t.Errorf("got %d, %s%s", status, out, errs)
	}
	if status, out, errs := runToolIn(t, room{columns: 80, rows: 24}, "get", "a"); status != exitOK || !strings.Contains(out, "queued, about 1 in line") {
		t.Errorf("got %d, %s%s", status, out, errs)
	}
	var got struct {
		State    string
		Position int
		Record   any
	}
	_, out, _ := runTool(t, "get", "a", "--json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.State != "queued" || got.Position != 1 || got.Record != nil {
		t.Errorf("got %s, %v", out, err)
	}
	for _, command := range []string{"get", "why"} {
		if status, out, errs := runTool(t, command, "nobody"); status != exitFailed || out != "" || !strings.Contains(errs, `no record of task "nobody"`) {
			t.Errorf("%s nobody: got %d, %s%s", command, status, out, errs)
		}
	}
}

func TestTheDocumentsNameWhatGetPrintsAsJSON(t *testing.T) {
	text, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	_, record, _ := strings.Cut(string(text), "\n## Record\n")
	members, _, ok := strings.Cut(record, "[More about looking at tasks]")
	if !ok {
		t.Fatal("docs/messages.md does not say what capstan get prints")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[inspect.Task]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "-" && !strings.Contains(members, "`"+name+"`") {
			t.Errorf("got %q, want %s in it", members, name)
		}
	}
}

func TestWatchingAStatusExplainsWhyItCannotBegin(t *testing.T) {
	t.Setenv("NATS_URL", natstest.Run(t, &server.Options{}).ClientURL())
	if status, out, errs := runTool(t, "status", "--watch"); status != exitNATS || out != "" || !strings.Contains(errs, "check NATS_JS_DOMAIN") {
		t.Errorf("got %d, %s%s, want %d and what to check", status, out, errs, exitNATS)
	}
}

func TestReadingCommandsSayWhatIsMissing(t *testing.T) {
	nats := natstest.Start(t)
	t.Setenv("NATS_URL", nats.URL())
	for _, args := range []string{"status", "list", "why a", "get a", "watch --until-now", "watch --batch b --until-done"} {
		if status, out, errs := runTool(t, strings.Fields(args)...); status == exitOK || out != "" || !strings.Contains(errs, "start a worker first") {
			t.Errorf("%s: got %d, %s%s, want what to do", args, status, out, errs)
		}
	}
}
