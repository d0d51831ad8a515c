//go:build !nodemo

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// checked is what a check needs: NATS, the API and the environment.
type checked struct {
	nats *natstest.Server
	api  *anchortest.Server
	js   jetstream.JetStream
	env  []string
}

func newChecked(t *testing.T) *checked {
	t.Helper()
	w := &checked{nats: natstest.Start(t), api: anchortest.New(anchortest.WithMaxRunning(25))}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	_, w.js = w.nats.Connect()
	w.env = []string{
		"NATS_URL=" + w.nats.URL(), "ANCHORBROWSER_API_KEY=" + w.api.Key(), "ANCHORBROWSER_BASE_URL=" + w.api.URL(),
		"ANCHORBROWSER_REQUEST_TIMEOUT=2s", "MAX_IN_FLIGHT=25", "MAX_IN_FLIGHT_TOTAL=25", "ADMIN_ADDR=127.0.0.1:0",
	}
	return w
}

// provision has a worker create its streams.
func (w *checked) provision(t *testing.T) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(os.Args[0], name); err != nil {
		t.Fatal(err)
	}
	run := newTool(t, w.env)
	run.Path, run.Args = name, []string{"worker"}
	run.begin(t)
	run.out.await(t, "worker is ready")
	stop(t, run)
}

// check runs the tool and returns its exit status and what it printed.
func (w *checked) check(t *testing.T, env ...string) (status int, lines string) {
	t.Helper()
	run := newTool(t, append(slices.Clone(w.env), env...), "check")
	status = run.status(t)
	return status, run.out.String() + run.err.String()
}

// state is what JetStream reports about streams and consumers, except for what reading it changes.
func (w *checked) state(t *testing.T) string {
	t.Helper()
	var all []string
	streams := w.js.ListStreams(t.Context())
	for info := range streams.Info() {
		all = append(all, fmt.Sprint(info.Config, info.State))
		s, err := w.js.Stream(t.Context(), info.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		for c := range s.ListConsumers(t.Context()).Info() {
			text, err := json.Marshal([]any{c.Config, c.Delivered, c.AckFloor, c.NumAckPending, c.NumRedelivered, c.NumPending, c.NumWaiting})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(text))
		}
	}
	return strings.Join(all, "\n")
}

func TestCheckAcceptsAWorkingSetupAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newChecked(t)
	w.provision(t)
	request := []byte(`{"prompt":"x","url":"https://example.com"}`)
	if _, err := w.js.Publish(t.Context(), "tasks.request", request); err != nil {
		t.Fatal(err)
	}
	listener, _ := w.nats.Connect()
	var heard []*nats.Subscription
	for _, subject := range []string{"tasks.>", "$KV.>", "$O.>"} {
		sub, err := listener.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, sub)
	}
	if err := listener.Flush(); err != nil {
		t.Fatal(err)
	}
	before := w.state(t)
	status, lines := w.check(t)
	if status != exitOK || strings.Contains(lines, "BAD") {
		t.Errorf("got %d, want %d\n%s", status, exitOK, lines)
	}
	for _, want := range []string{
		"ok    settings", "ok    NATS", "one replica", "1 waiting, 0 in progress", "ok    permissions",
		"key accepted", "25 of the 25 browsers", "With 2 or more workers", "ok    duplicate window           duplicate events are detected for 1h0m0s",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("got\n%s\nwant %q", lines, want)
		}
	}
	if after := w.state(t); after != before {
		t.Errorf("got\n%s\nafter the check, want the state before it\n%s", after, before)
	}
	if strings.Contains(lines, w.api.Key()) {
		t.Errorf("got the key in\n%s", lines)
	}
	if err := listener.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, sub := range heard {
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("a subscriber to %s got %d messages, %v, want none", sub.Subject, n, err)
		}
	}
}

func TestCheckReportsWhatAWorkerWouldCreate(t *testing.T) {
	t.Parallel()
	w := newChecked(t)
	if status, lines := w.check(t); status != exitOK || !strings.Contains(lines, "the first worker creates it") {
		t.Errorf("got %d, want %d\n%s", status, exitOK, lines)
	}
	if status, lines := w.check(t, "NATS_PROVISION=false"); status != exitFailed || !strings.Contains(lines, "BAD   stream TASKS") || !strings.Contains(lines, "capstan: 5 checks failed") {
		t.Errorf("without provision: got %d, want %d\n%s", status, exitFailed, lines)
	}
	if got := w.state(t); got != "" {
		t.Errorf("got %s, want nothing created", got)
	}
}

func TestCheckNamesEachMistake(t *testing.T) {
	t.Parallel()
	w := newChecked(t)
	w.provision(t)
	for _, c := range []struct {
		env    string
		status int
		says   string
	}{
		{"MAX_IN_FLIGHT=many", exitFailed, `BAD   settings                   MAX_IN_FLIGHT must be a whole number (got "many")`},
		{"MAX_INFLIGHT=10", exitOK, "warn  settings                   MAX_INFLIGHT is ignored: no setting has this name. Did you mean MAX_IN_FLIGHT?"},
		{"NATS_TOKEN=t0ken\n", exitFailed, `BAD   settings                   NATS_TOKEN must be a value without spaces or line breaks around it (got "[redacted]")`},
		{"NATS_URL=nats://127.0.0.1:1", exitFailed, "BAD   NATS                       no NATS at"},
		{"ANCHORBROWSER_API_KEY=other", exitFailed, "BAD   API                        401: Invalid API Key"},
		{"ANCHORBROWSER_BASE_URL=http://127.0.0.1:1", exitOK, "warn  API "},
		{"MAX_IN_FLIGHT_TOTAL=26", exitOK, "ok    MAX_IN_FLIGHT_TOTAL        25 of the 25 browsers"},
		{"MAX_IN_FLIGHT_TOTAL=auto", exitOK, "ok    MAX_IN_FLIGHT_TOTAL        25 of the 25 browsers"},
		{"ACK_WAIT=70s", exitOK, "warn  consumer worker            ack wait must be 1m10s, as set by ACK_WAIT (got 1m0s)"},
	} {
		t.Run(c.env, func(t *testing.T) {
			t.Parallel()
			if status, lines := w.check(t, c.env); status != c.status || !strings.Contains(lines, c.says) {
				t.Errorf("got %d, want %d and %q\n%s", status, c.status, c.says, lines)
			}
		})
	}
	status, lines := w.check(t, "NATS_PROVISION=false", "ACK_WAIT=70s")
	if want := "BAD   consumer worker            ack wait"; status != exitFailed || !strings.Contains(lines, want) {
		t.Errorf("without provision: got %d, want %d and %q\n%s", status, exitFailed, want, lines)
	}
}

func TestCheckTellsARefusedKeyFromAnOutage(t *testing.T) {
	t.Parallel()
	w := newChecked(t)
	for _, c := range []struct {
		fault  anchortest.Fault
		status int
		says   string
	}{
		{anchortest.Answer(401), exitFailed, "BAD   API"},
		{anchortest.Answer(402), exitFailed, "BAD   API"},
		{anchortest.Answer(403), exitFailed, "BAD   API"},
		{anchortest.Answer(500), exitOK, "warn  API"},
		{anchortest.HTML(502), exitOK, "warn  API"},
		{anchortest.Garbage(), exitOK, "does not have the documented format"},
		{anchortest.Fault{Body: `{}`}, exitOK, "has no data"},
		{anchortest.Fault{Body: `{"data":{"credits":1}}`}, exitOK, "the API did not say how many"},
		{anchortest.Reset(), exitOK, "warn  API"},
		{anchortest.Hang(), exitOK, "no complete answer within 2s"},
	} {
		w.api.FailAll(c.fault)
		if status, lines := w.check(t); status != c.status || !strings.Contains(lines, c.says) {
			t.Errorf("%+v: got %d, want %d and %q\n%s", c.fault, status, c.status, c.says, lines)
		}
	}
}

// workerPermissions are those that a worker needs if it creates no streams.
func workerPermissions() []string {
	return []string{
		"$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.TASKS.worker", "$JS.API.CONSUMER.MSG.NEXT.TASKS.worker", "$JS.ACK.TASKS.worker.>",
		"$JS.API.STREAM.MSG.GET.*", "$KV.task_tracker.>", "$O.task_results.>", "tasks.result", "tasks.dead",
		"$JS.API.CONSUMER.CREATE.TASK_RESULTS.*", "$JS.API.CONSUMER.MSG.NEXT.TASK_RESULTS.*", "$JS.API.CONSUMER.DELETE.TASK_RESULTS.*",
		"$JS.API.DIRECT.GET.OBJ_task_results.$O.task_results.M.*", "$JS.API.CONSUMER.CREATE.OBJ_task_results.*.$O.task_results.C.*", "$JS.API.CONSUMER.DELETE.OBJ_task_results.*",
	}
}

func TestCheckNamesEachMissingPermission(t *testing.T) {
	t.Parallel()
	all := workerPermissions()
	users := []*server.User{{Username: "all", Password: "x"}}
	for i := range all {
		users = append(users, limited(fmt.Sprint(i), slices.Delete(slices.Clone(all), i, i+1), "_INBOX.>"))
	}
	users = append(users, limited("enough", all, "_INBOX.>"), limited("deaf", all, "elsewhere"))
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, Users: users,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	w := newChecked(t)
	as := func(user string) []string {
		return []string{"NATS_URL=" + s.ClientURL(), "NATS_USER=" + user, "NATS_PASSWORD=x", "NATS_PROVISION=false"}
	}
	env := w.env
	w.env = append(slices.Clone(env), append(as("all"), "NATS_PROVISION=true")...)
	w.provision(t)
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("all", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if w.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	before := w.state(t)
	if status, lines := w.check(t, as("enough")...); status != exitOK {
		t.Errorf("all permissions: got %d, want %d\n%s", status, exitOK, lines)
	}
	for i, permission := range all {
		first, _, _ := strings.Cut(permission, "*")
		want := `missing permission: publish to "` + strings.TrimSuffix(first, ">")
		status, lines := w.check(t, as(fmt.Sprint(i))...)
		if status != exitFailed || !strings.Contains(lines, want) || strings.Contains(lines, "capstan-check") {
			t.Errorf("without %s: got %d, want %d and %q\n%s", permission, status, exitFailed, want, lines)
		}
	}
	// A login that may not create a missing stream cannot leave that to a worker.
	missing := append(as("enough"), "NATS_PROVISION=true", "RESULT_STREAM=OTHER_RESULTS", "RESULT_SUBJECT=other.result")
	if status, lines := w.check(t, missing...); status != exitFailed || !strings.Contains(lines, "BAD   stream OTHER_RESULTS") || !strings.Contains(lines, `a worker may not do that: missing permission: publish to "$JS.API.STREAM.CREATE.OTHER_RESULTS"`) {
		t.Errorf("without the permission to create streams: got %d, want %d\n%s", status, exitFailed, lines)
	}
	if status, lines := w.check(t, as("deaf")...); status != exitFailed || !strings.Contains(lines, `missing permission: subscribe to "_INBOX.>"`) {
		t.Errorf("without an inbox: got %d, want %d\n%s", status, exitFailed, lines)
	}
	if after := w.state(t); after != before {
		t.Errorf("got\n%s\nafter the checks, want the state before it\n%s", after, before)
	}
}
