package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The sizes of the two batches of the night in docs/batches.md.
const orderCount, returnCount = 2000, 500

// The night in docs/batches.md runs as it is printed: with a canary, a pause, retries, a batch that is canceled, a report,
// and failures that are run again.
func TestTheNightInTheDocumentsRunsAsPrinted(t *testing.T) {
	template, script := nightInTheDocuments(t)
	server := natstest.Start(t)
	api := startNightAPI(t)
	startNightWorker(t, server.URL(), api)
	dir := folderOf(t, "request.json", template, "orders.csv", skus("order", orderCount), "returns.csv", skus("return", returnCount))

	out := runNight(t, server.URL(), dir, script)
	if !strings.HasSuffix(strings.TrimSpace(out), fmt.Sprint(orderCount)) {
		t.Errorf("the script counted other lines than %d:\n%s", orderCount, out)
	}
	report := eventsIn(t, filepath.Join(dir, "out.jsonl"))
	wantOnce(t, report, "night", orderCount)
	retried, failed := 0, 0
	for _, ev := range report {
		if len(ev.Runs) == 2 && ev.Status == task.Succeeded {
			retried++
		}
		if ev.Status == task.Failed {
			failed++
		}
	}
	if wantRetried, wantFailed := orderCount/20, orderCount/40; retried != wantRetried || failed != wantFailed {
		t.Errorf("got %d tasks that succeeded in their second run and %d that failed, want %d and %d", retried, failed, wantRetried, wantFailed)
	}
	canceled := 0
	returns := eventsIn(t, filepath.Join(dir, "returns.jsonl"))
	wantOnce(t, returns, "returns", returnCount)
	for _, ev := range returns {
		if ev.Error != nil && ev.Error.Code == task.Canceled {
			canceled++
		}
	}
	if canceled == 0 || canceled == returnCount {
		t.Errorf("got %d of %d returns canceled, want some", canceled, returnCount)
	}
	wantRedriven(t, server, orderCount/40)
	for name, log := range api.Logs() {
		most := 2 // a retry
		if strings.HasSuffix(name, "1") {
			most++ // and once more with more steps
		}
		if log.Accepted > most {
			t.Errorf("%s was run %d times, want %d at most", name, log.Accepted, most)
		}
	}
}

// nightInTheDocuments returns the template and the script of the night.
func nightInTheDocuments(t *testing.T) (template, script string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/batches.md")
	if err != nil {
		t.Fatal(err)
	}
	_, night, ok := strings.Cut(string(text), "\n## The night as a script\n")
	_, night, hasTemplate := strings.Cut(night, "```json\n")
	template, night, _ = strings.Cut(night, "```\n")
	_, night, hasScript := strings.Cut(night, "```sh\n")
	script, _, _ = strings.Cut(night, "```")
	if !ok || !hasTemplate || !hasScript {
		t.Fatal("docs/batches.md has no night with a template and a script")
	}
	return template, script
}

// skus is a CSV file with n rows. The last digits of a sku decide how its task goes; see startNightAPI.
func skus(kind string, n int) string {
	var b strings.Builder
	b.WriteString("sku,url\n")
	for i := range n {
		fmt.Fprintf(&b, "%s-%04d,https://shop.example.com/p/%d\n", kind, i, i)
	}
	return b.String()
}

// startNightAPI starts a stand-in for the API. One order in twenty fails in its first run, and one in forty needs more than
// 100 steps. Returns take a while.
func startNightAPI(t *testing.T) *anchortest.Server {
	t.Helper()
	const tooFewSteps = "Maximum number of steps exceeded"
	api := anchortest.New(anchortest.WithPlan(func(posted anchortest.Task) anchortest.Plan {
		var body struct {
			MaxSteps int `json:"max_steps"`
		}
		var number int
		_, name, _ := strings.Cut(posted.Prompt, "of ")
		kind, digits, _ := strings.Cut(name, "-")
		_, scanErr := fmt.Sscanf(digits, "%d", &number)
		switch err := json.Unmarshal(posted.Body, &body); {
		case err != nil || scanErr != nil:
			return anchortest.Plan{State: "FAILED", Error: "an unexpected request"}
		case kind == "return":
			return anchortest.Plan{Run: time.Second}
		case number%40 == 1 && body.MaxSteps <= 100:
			return anchortest.Plan{State: "FAILED", Error: tooFewSteps}
		case number%20 == 3:
			return anchortest.Plan{Fails: 1}
		}
		return anchortest.Plan{}
	}))
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api
}

// startNightWorker starts a worker that runs 100 tasks at once, until the end of the test.
func startNightWorker(t *testing.T, url string, api *anchortest.Server) {
	t.Helper()
	for name, value := range map[string]string{
		"ANCHORBROWSER_API_KEY": api.Key(), "ANCHORBROWSER_BASE_URL": api.URL(), "NATS_URL": url, "MAX_IN_FLIGHT_TOTAL": "250",
		"WORKER_NAME": "w1", "POLL_INTERVAL": "20ms", "POLL_MAX_INTERVAL": "200ms", "ADMIN_ADDR": "127.0.0.1:0",
	} {
		t.Setenv(name, value)
	}
	cfg, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, cfg, "test", zerolog.Nop()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// runNight runs the script in a folder and returns what it printed. capstan is this test's own binary.
func runNight(t *testing.T, url, dir, script string) string {
	t.Helper()
	bin := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\n%s exec %q \"$@\"\n", strings.Join(asTool(), " "), self)
	if err := os.WriteFile(filepath.Join(bin, "capstan"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "sh", "-e", "-c", script)
	run.Dir = dir
	run.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "NATS_URL=" + url, "TMPDIR=" + t.TempDir()}
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// eventsIn reads a file with an event on each line.
func eventsIn(t *testing.T, file string) (all []task.Event) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var ev task.Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, ev)
	}
	return all
}

// wantOnce checks that there is one event of each task of a batch.
func wantOnce(t *testing.T, events []task.Event, batch string, n int) {
	t.Helper()
	seen := map[string]bool{}
	for _, ev := range events {
		if seen[ev.TaskID] || ev.Batch != batch {
			t.Errorf("got %s of batch %q twice, or of another batch than %s", ev.TaskID, ev.Batch, batch)
		}
		seen[ev.TaskID] = true
	}
	if len(seen) != n {
		t.Errorf("batch %s: got events of %d tasks, want %d", batch, len(seen), n)
	}
}

// wantRedriven checks that so many tasks were run again, and that all of them succeeded.
func wantRedriven(t *testing.T, server *natstest.Server, n int) {
	t.Helper()
	_, js := server.Connect()
	stream, err := js.Stream(t.Context(), "TASK_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq, jetstream.WithGetMsgSubject("tasks.result"))
		if err != nil {
			t.Fatal(err)
		}
		var ev task.Event
		if err := json.Unmarshal(msg.Data, &ev); err != nil {
			t.Fatal(err)
		}
		seq = msg.Sequence
		if strings.HasSuffix(ev.TaskID, ".r1") {
			again++
			if ev.Status != task.Succeeded {
				t.Errorf("got %s that failed again: %+v", ev.TaskID, ev.Error)
			}
		}
	}
	if again != n {
		t.Errorf("got %d tasks that were run again, want %d", again, n)
	}
}
