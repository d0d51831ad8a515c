package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// guarded is a world whose server runs the configuration of docs/permissions.md.
type guarded struct {
	*world
	file  string // the server's configuration
	text  string
	seeds map[string]string // the file of a role's seed
}

// ackForms are the two forms that a server can use for the subjects of acknowledgements and of flow control.
func ackForms() map[string]string {
	return map[string]string{"as by default": "", "js_ack_fc_v2": "feature_flags { js_ack_fc_v2: true }"}
}

// newGuarded starts a server with the documented configuration, more lines of it, and one more user: the test itself, which
// has all permissions.
func newGuarded(t *testing.T, more ...string) *guarded {
	t.Helper()
	g := &guarded{file: filepath.Join(t.TempDir(), "nats.conf"), seeds: map[string]string{}}
	docs, err := os.ReadFile("../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n## Permissions\n.*?```hcl\n(jetstream .*?)```").FindSubmatch(docs)
	if block == nil {
		t.Fatal("docs/permissions.md has no configuration under Permissions")
	}
	for _, role := range []string{"PUBLISHER", "WORKER", "SUBSCRIBER", "OPERATOR", "TEST"} {
		key, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, _ := key.PublicKey()
		seed, _ := key.Seed()
		g.seeds[role] = filepath.Join(t.TempDir(), role)
		if err := os.WriteFile(g.seeds[role], seed, 0o600); err != nil {
			t.Fatal(err)
		}
		g.text += role + "_KEY: " + public + "\n"
	}
	g.text += strings.Join(more, "\n") + "\n"
	g.text += strings.Replace(string(block[1]), "users: [", "users: [\n{ nkey: $TEST_KEY }", 1)
	g.write(t, g.text)
	g.world = &world{t: t, nats: natstest.StartWith(t, natsserver.Config{File: g.file}), api: anchortest.New(anchortest.WithMaxRunning(1000))}
	if err := g.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.api.Close)
	g.nc, g.js = g.as("TEST")
	return g
}

func (g *guarded) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// as connects with a role. Its asynchronous errors are ignored.
func (g *guarded) as(role string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	g.t.Helper()
	login, err := nats.NkeyOptionFromSeed(g.seeds[role])
	if err != nil {
		g.t.Fatal(err)
	}
	return g.nats.Connect(append(opts, login, nats.CustomInboxPrefix("_INBOX_"+strings.ToLower(role)))...)
}

// guardedEnv is the environment of a worker with the role WORKER. Its calls may take long: large results on a busy machine.
func (g *guarded) guardedEnv() []string {
	return []string{
		"NATS_NKEY_SEED_FILE=" + g.seeds["WORKER"], "NATS_INBOX_PREFIX=_INBOX_worker", "NATS_PROVISION=false",
		"ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s",
	}
}

// provision creates the streams: a worker with the role OPERATOR does.
func (g *guarded) provision() {
	g.t.Helper()
	// The limit differs from the plan's, so that the worker under test has one to change.
	p := g.start("operator", "NATS_NKEY_SEED_FILE="+g.seeds["OPERATOR"], "NATS_INBOX_PREFIX=_INBOX_operator", "MAX_IN_FLIGHT_TOTAL=400")
	natstest.Eventually(g.t, func() error { return p.logged("worker is ready") })
	p.drain()
	_, js := g.as("OPERATOR")
	if _, err := js.CreateOrUpdateConsumer(g.t.Context(), "TASK_RESULTS", jetstream.ConsumerConfig{Durable: "billing"}); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guarded) reload(text string) {
	g.t.Helper()
	g.write(g.t, text)
	if err := g.nats.Reload(); err != nil {
		g.t.Fatal(err)
	}
}
