package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestAClientWaitsThroughARestartOfNATS(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		w.submit("before", done)
		w.waitEvents(1)
		got := w.begin(t.Context(), t.run, w.requestOf("ord-1", blocked))
		w.waitAccepted("ord-1", blocked)
		w.waitFollowed(1)
		w.nats.Stop()
		w.nats.Restart()
		w.release("ord-1")
		(<-got).succeeded(t.T, "ord-1", `"ok"`)
	})
}

func TestTheEndOfAWaitIsNotThatOfTheTask(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		ctx, interrupt := context.WithCancel(t.Context())
		got := w.begin(ctx, t.run, w.requestOf("ord-1", blocked))
		w.waitAccepted("ord-1", blocked)
		w.waitFollowed(1)
		interrupt()
		(<-got).unanswered(t.T, "no event of task ord-1 yet", "TASKS, sequence 1", "The task goes on")
		w.release("ord-1")
		t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", blocked)).succeeded(t.T, "ord-1", `"ok"`)
		if n := w.seen("ord-1", blocked).Accepted; n != 1 {
			t.Errorf("got %d workflows, want one", n)
		}
	})
}

func TestAClientSaysThatTheStreamsAreMissing(t *testing.T) {
	withEachClient(t, func(t trial) {
		server := natstest.Start(t)
		request := `{"task_id":"ord-1","url":"https://example.com","prompt":"p"}`
		t.run(t.Context(), server.URL(), request).unanswered(t.T, "task ord-1 was not published: no stream TASK_RESULTS", "start a worker first")
	})
}

func TestAClientRefusesWhatNoWorkerAccepts(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		for request, want := range map[string]string{
			`{"task_id":"ord 1","url":"https://example.com","prompt":"p"}`:                            "task_id",
			`{"task_id":"a..b","url":"https://example.com","prompt":"p"}`:                             `(got "a..b")`,
			`{"task_id":"\u202e\u0000","url":"https://example.com","prompt":"p"}`:                     "task_id",
			`{"task_id":"a","batch":"-","url":"https://example.com","prompt":"p"}`:                    "batch",
			`{"task_id":"a","url":"https://example.com","prompt":" "}`:                                "prompt",
			`{"task_id":"a","prompt":"p"}`:                                                            "set url",
			`{"task_id":"` + strings.Repeat("a", 1<<20) + `","url":"https://a.example","prompt":"p"}`: "1 to 128",
		} {
			got := t.run(t.Context(), w.nats.URL(), request)
			got.unanswered(t.T, want)
			if len(got.Error) > 400 {
				t.Errorf("got an error of %d bytes, want a short one", len(got.Error))
			}
		}
		w.waitRequests(0, 0)
	})
}

func TestAClientNamesAMissingPermission(t *testing.T) {
	withEachClient(t, func(t trial) {
		file := filepath.Join(t.TempDir(), "nats.conf")
		users := `authorization { users: [
			{ user: admin, password: p }
			{ user: guest, password: p, permissions: { publish: ["tasks.request"], subscribe: ["_INBOX.>"] } }
		] }`
		if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
			t.Fatal(err)
		}
		server := natstest.StartWith(t, natsserver.Config{File: file})
		server.Connect(nats.UserInfo("admin", "p"))
		url := strings.Replace(server.URL(), "nats://", "nats://guest:p@", 1)
		got := t.run(t.Context(), url, `{"task_id":"ord-1","url":"https://example.com","prompt":"p"}`)
		got.unanswered(t.T, "task ord-1 was not published", "$JS.API.STREAM.INFO.TASK_RESULTS")
	})
}

// What docs/permissions.md grants to capstan submit --wait is enough.
func TestAClientNeedsOnlyTheDocumentedPermissions(t *testing.T) {
	withEachClient(t, func(t trial) {
		g := newGuarded(t.T)
		login := `users: [ { user: client, password: p, permissions: { publish: [` +
			strings.Join(documentedCommands(t.T)["capstan submit --wait"], ", ") + `], subscribe: ["_INBOX.>"] } }`
		g.reload(strings.Replace(g.text, "users: [", login, 1))
		g.provision()
		p := g.start("w1", g.guardedEnv()...)
		natstest.Eventually(t, func() error { return p.logged("worker is ready") })
		url := strings.Replace(g.nats.URL(), "nats://", "nats://client:p@", 1)
		t.run(t.Context(), url, g.requestOf("ord-1", done)).succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
	})
}
