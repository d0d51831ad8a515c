package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// contexts are the folder of the contexts of a user of the nats command, and a server that a context is for.
type contexts struct {
	t    *testing.T
	dir  string // XDG_CONFIG_HOME
	addr string
}

func newContexts(t *testing.T) *contexts {
	t.Helper()
	s := natstest.Run(t, &server.Options{
		JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub", Users: []*server.User{{Username: "ann", Password: "hunter2"}},
	})
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("ann", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}})
	c := &contexts{t: t, dir: t.TempDir(), addr: s.ClientURL()}
	c.write("good", c.with(nil))
	return c
}

// with returns the fields of a context that works, with changes.
func (c *contexts) with(changes map[string]string) map[string]string {
	fields := map[string]string{"url": c.addr, "user": "ann", "password": "hunter2", "jetstream_domain": "hub"}
	maps.Copy(fields, changes)
	return fields
}

func (c *contexts) write(name string, fields any) {
	c.t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		c.t.Fatal(err)
	}
	c.file(filepath.Join("context", name+".json"), string(text))
}

// file writes a file below the folder of the nats command.
func (c *contexts) file(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, "nats", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// run runs the tool as the owner of the contexts.
func (c *contexts) run(env []string, args ...string) (status int, out, errOut string) {
	c.t.Helper()
	run := newTool(c.t, append([]string{"XDG_CONFIG_HOME=" + c.dir}, env...), args...)
	status = run.status(c.t)
	return status, run.out.String(), run.err.String()
}

func TestAContextOfTheNATSCommandSaysWhereNATSIs(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	submit := []string{"submit", "--url=https://example.com", "p"}
	for _, way := range []struct {
		name  string
		env   []string
		flags []string
		notes string
	}{
		{"flag", nil, []string{"--context=good"}, ""},
		{"path", nil, []string{"--context=" + filepath.Join(c.dir, "nats", "context", "good.json")}, ""},
		{"variable", []string{"NATS_CONTEXT=good"}, nil, ""},
		{"flag over variable", []string{"NATS_CONTEXT=nope"}, []string{"--context=good"}, ""},
		{
			"over the other variables",
			[]string{"NATS_URL=nats://127.0.0.1:1", "NATS_TOKEN=t0ken", "NATS_JS_DOMAIN=other", "NATS_REPLICAS=3"},
			[]string{"--context=good"},
			"capstan: using context good; ignored: NATS_URL, NATS_TOKEN, NATS_JS_DOMAIN\n",
		},
		{"over a wrong variable", []string{"NATS_URL=http://a"}, []string{"--context=good"}, "capstan: using context good; ignored: NATS_URL\n"},
	} {
		status, out, errOut := c.run(way.env, append(way.flags, submit...)...)
		if status != exitOK || !strings.HasPrefix(out, "TASKS-") || errOut != way.notes {
			t.Errorf("%s: got %d, %q and %q, want %d, a task id and %q", way.name, status, out, errOut, exitOK, way.notes)
		}
	}
}

// A command that changes a queue must not depend on what was selected in another tool.
func TestTheSelectedContextIsNotUsed(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	c.file("context.txt", "good")
	if status, _, errOut := c.run([]string{"NATS_URL=nats://127.0.0.1:1"}, "get", "a"); status != exitNATS || !strings.Contains(errOut, "no NATS at nats://127.0.0.1:1") {
		t.Errorf("got %d, %s, want %d from the server of NATS_URL", status, errOut, exitNATS)
	}
}

func TestAContextThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	c.file("context/broken.json", "{")
	for name, changes := range map[string]map[string]string{
		"domain": {"jetstream_domain": "elsewhere"}, "password": {"password": "hunter3"}, "nowhere": {"url": "nats://127.0.0.1:1"},
		"creds": {"user": "", "creds": "/nowhere.creds"}, "cert": {"cert": "/nowhere.pem", "key": "/nowhere.pem"}, "ca": {"ca": "/nowhere.pem"},
		"nsc": {"nsc": "nsc://o/a/u"}, "jwt": {"user_jwt": "ey"}, "prefix": {"jetstream_api_prefix": "js"}, "url": {"url": "nats://a:port"},
	} {
		c.write(name, c.with(changes))
	}
	for _, each := range []struct {
		name   string
		status int
		says   string
	}{
		{"nope", exitUsage, `context "nope" cannot be used: unknown context "nope" (see: nats context ls)`},
		{"../good", exitUsage, "invalid context name"},
		{"broken", exitUsage, `context "broken" cannot be used`},
		{"creds", exitUsage, "/nowhere.creds"},
		{"cert", exitUsage, "/nowhere.pem"},
		{"ca", exitUsage, "/nowhere.pem"},
		{"nsc", exitUsage, `context "nsc" cannot be used`},
		{"jwt", exitUsage, "does not support its user_jwt"},
		{"prefix", exitUsage, "does not support its jetstream_api_prefix"},
		{"url", exitNATS, "connect to NATS"},
		{"good", exitNATS, "no bucket task_tracker"},
		{"domain", exitNATS, `no JetStream at ` + c.addr + `, domain "elsewhere"`},
		{"password", exitNATS, `refused the login: nats: Authorization Violation. Correct the login of context "password"`},
		{"nowhere", exitNATS, `no NATS at nats://127.0.0.1:1: start it (or a port-forward to it), correct the url of context "nowhere"`},
	} {
		status, _, errOut := c.run(nil, "--context", each.name, "get", "a")
		if status != each.status || !strings.Contains(errOut, each.says) || strings.Contains(errOut, "hunter") {
			t.Errorf("%s: got %d, %s, want %d and %q", each.name, status, errOut, each.status, each.says)
		}
	}
}

func TestTheFlagOfTheServerTakesPrecedenceOverAContext(t *testing.T) {
	t.Parallel()
	status, _, errOut := newContexts(t).run([]string{"NATS_CONTEXT=good"}, "--nats-url=nats://127.0.0.1:1", "get", "a")
	for _, want := range []string{"NATS_CONTEXT is ignored, because --nats-url is given", "no NATS at nats://127.0.0.1:1"} {
		if status != exitNATS || !strings.Contains(errOut, want) {
			t.Errorf("got %d, %s, want %d and %q", status, errOut, exitNATS, want)
		}
	}
}

// A worker has no contexts, so a check of its settings must not use one.
func TestACheckUsesNoContext(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	env := []string{"NATS_URL=nats://127.0.0.1:1", "NATS_CONTEXT=good", "ANCHORBROWSER_BASE_URL=http://127.0.0.1:1", "ANCHORBROWSER_API_KEY=key"}
	status, out, _ := c.run(env, "check")
	for _, want := range []string{"warn  settings                   NATS_CONTEXT is ignored by workers", "BAD   NATS                       no NATS at nats://127.0.0.1:1"} {
		if status != exitFailed || !strings.Contains(out, want) {
			t.Errorf("got %d, %s, want %d and %q", status, out, exitFailed, want)
		}
	}
	if status, _, errOut := c.run(nil, "--context=good", "check"); status != exitUsage || !strings.Contains(errOut, "check cannot use --context") {
		t.Errorf("--context: got %d, %s, want %d and why", status, errOut, exitUsage)
	}
	for _, args := range [][]string{{"version"}, {"help"}, {"completion", "bash"}} {
		if status, _, errOut := c.run([]string{"NATS_CONTEXT=nope", "NATS_URL=x"}, args...); status != exitOK || errOut != "" {
			t.Errorf("%v: got %d, %s, want %d and nothing", args, status, errOut, exitOK)
		}
	}
}
