package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/streams"
)

func TestEachKindOfErrorHasItsExitStatus(t *testing.T) {
	t.Parallel()
	interrupted, terminated, late := signalError{syscall.SIGINT}, signalError{syscall.SIGTERM}, context.DeadlineExceeded
	wrong := errors.New("wrong")
	expired, end := context.WithDeadlineCause(t.Context(), time.Now(), wrong) // which is over
	defer end()
	for _, c := range []struct {
		name   string
		ended  error // the cause of the end of the context, or nil
		err    error
		status int
	}{
		{"success", nil, nil, exitOK},
		{"success in spite of Ctrl-C", interrupted, nil, exitOK},
		{"failed task", nil, errTaskFailed, exitFailed},
		{"failed task in spite of Ctrl-C", interrupted, errTaskFailed, exitFailed},
		{"anything else", nil, wrong, exitFailed},
		{"no record", nil, fmt.Errorf("read: %w", jetstream.ErrKeyNotFound), exitFailed},
		{"no message", nil, fmt.Errorf("read: %w", jetstream.ErrMsgNotFound), exitFailed},
		{"usage", nil, fmt.Errorf("x: %w", usageError{wrong}), exitUsage},
		{"waited", late, withinTime(expired, wrong), exitWaited},
		{"waited in vain for NATS", late, withinTime(expired, fmt.Errorf("x: %w", nats.ErrTimeout)), exitWaited},
		{"ended before its time", nil, withinTime(t.Context(), wrong), exitFailed},
		{"ended well, though late", late, withinTime(expired, nil), exitOK},
		{"no server", nil, streams.NewConnectError("nats://a", nats.ErrNoServers), exitNATS},
		{"refused login", nil, fmt.Errorf("x: %w", streams.NewConnectError("nats://a", nats.ErrAuthorization)), exitNATS},
		{"closed connection", nil, closedError{url: "a"}, exitNATS},
		{"own words", nil, natsError{wrong}, exitNATS},
		{"no stream", nil, fmt.Errorf("x: %w", jetstream.ErrStreamNotFound), exitNATS},
		{"no bucket", nil, fmt.Errorf("x: %w", jetstream.ErrBucketNotFound), exitNATS},
		{"no answer", nil, fmt.Errorf("x: %w", context.DeadlineExceeded), exitNATS},
		{"full stream", nil, fmt.Errorf("x: %w", &jetstream.APIError{Code: 503, ErrorCode: 10077}), exitNATS},
		{"Ctrl-C", interrupted, context.Canceled, exitSignal + 2},
		{"SIGTERM", terminated, fmt.Errorf("x: %w", wrong), exitSignal + 15},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if c.ended != nil {
			cancel(c.ended)
		}
		got := exitStatus(ctx, c.err)
		cancel(nil)
		if got != c.status {
			t.Errorf("%s: got %d, want %d", c.name, got, c.status)
		}
	}
}

func TestCtrlCNeedsNoMessageOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signalError{syscall.SIGINT})
	for _, err := range []error{nil, errTaskFailed, context.Cause(ctx), ctx.Err()} {
		if !isSilent(ctx, err) {
			t.Errorf("%v: got a message, want none", err)
		}
	}
	for _, err := range []error{errors.New("task a is still running"), fmt.Errorf("publish (the request may or may not be stored): %w", ctx.Err()), natsError{errors.New("x")}} {
		if isSilent(ctx, err) {
			t.Errorf("%v: got no message, want one", err)
		}
	}
	if isSilent(t.Context(), context.Canceled) {
		t.Error("without a signal: got no message, want one")
	}
}

func TestASignalEndsAWaitWithItsNumber(t *testing.T) {
	t.Parallel()
	queue := natstest.Start(t)
	_, js := queue.Connect()
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}})
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASK_RESULTS", Subjects: []string{"tasks.result"}})
	env := []string{"NATS_URL=" + queue.URL()}
	for _, c := range []struct {
		signal      syscall.Signal
		args        []string
		begun, says string
	}{
		{syscall.SIGINT, []string{"submit", "--wait", "--url=https://example.com", "p"}, "waiting for the result", "check it with: capstan get"},
		{syscall.SIGTERM, []string{"submit", "--wait", "--url=https://example.com", "p"}, "waiting for the result", "check it with: capstan get"},
		{syscall.SIGINT, []string{"watch"}, "watching", ""},
	} {
		run := newTool(t, env, c.args...)
		run.begin(t)
		run.err.await(t, c.begun)
		if err := run.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait() // its status is all that counts
		if got, want := run.ProcessState.ExitCode(), exitSignal+int(c.signal); got != want || !strings.Contains(run.err.String(), c.says) {
			t.Errorf("%v of %v: got %d, %s, want %d and %q", c.signal, c.args, got, &run.err, want, c.says)
		}
	}
	run := newTool(t, env, "submit", "--wait", "--wait-timeout=50ms", "--url=https://example.com", "p")
	if got := run.status(t); got != exitWaited {
		t.Errorf("--wait-timeout: got %d, %s, want %d", got, &run.err, exitWaited)
	}
}

// A denied call gets no answer. The user must not take it for an outage.
func TestARefusalByNATSIsNamed(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "all", Password: "x"},
		limited("reader", []string{"$JS.API.INFO"}, "_INBOX.>"),
		limited("deaf", []string{">"}, "elsewhere"),
	}})
	submit := []string{"submit", "--url=https://example.com", "p"}
	for _, c := range []struct {
		name, user string
		args       []string
		says       string
	}{
		{"no stream of requests", "all", submit, "no stream listens on tasks.request"},
		{"no stream of events", "all", []string{"watch"}, "no stream TASK_RESULTS"},
		{"no bucket", "all", []string{"get", "a"}, "no bucket task_tracker"},
		{"login", "nobody", submit, "refused the login"},
		{"permission to publish", "reader", submit, `missing permission: publish to "tasks.request"`},
		{"permission to read", "reader", []string{"get", "a"}, `missing permission: publish to "$JS.API.STREAM.INFO.KV_task_tracker"`},
		{"permission to receive", "deaf", submit, `missing permission: subscribe to "_INBOX.>"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := newTool(t, []string{"NATS_URL=" + s.ClientURL(), "NATS_USER=" + c.user, "NATS_PASSWORD=x"}, c.args...)
			if got := run.status(t); got != exitNATS || !strings.Contains(run.err.String(), c.says) {
				t.Errorf("got %d, %s, want %d and %q", got, &run.err, exitNATS, c.says)
			}
		})
	}
}

// limited is a user who may publish and subscribe to these subjects only.
func limited(name string, publish []string, subscribe string) *server.User {
	return &server.User{Username: name, Password: "x", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{subscribe}},
	}}
}

// fullDisk takes no output.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A script takes the exit status 0 for a complete output.
func TestOutputThatIsLostIsAFailure(t *testing.T) {
	var complaint strings.Builder
	status := run(t.Context(), []string{"schema", "request"}, &terminal{out: fullDisk{}, err: &complaint})
	if status != exitFailed || !strings.Contains(complaint.String(), "write the output: "+syscall.ENOSPC.Error()) {
		t.Errorf("got status %d and %q, want %d and why", status, complaint.String(), exitFailed)
	}
}
