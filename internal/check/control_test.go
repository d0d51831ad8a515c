package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// createControl creates the bucket as a worker does, and then an edit of its stream.
func (w *world) createControl(edit func(*jetstream.StreamConfig)) {
	w.t.Helper()
	cfg := jetstream.StreamConfig{
		Name: "KV_task_control", Subjects: []string{"$KV.task_control.>"}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowRollup: true, DenyDelete: true,
	}
	edit(&cfg)
	natstest.Stream(w.t, w.js, cfg)
}

func TestTheControlBucketIsDescribed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arrange func(*world)
		want    string
	}{
		"missing":             {func(*world) {}, "ok bucket task_control: missing; the first worker creates it (NATS_PROVISION)"},
		"missing and unbound": {func(w *world) { w.provision(); w.cfg.NATS.Provision = false }, "warn bucket task_control: missing. Create it, or set NATS_PROVISION=true. Workers go on without it"},
		"there": {func(w *world) {
			w.createControl(func(*jetstream.StreamConfig) {})
		}, "ok bucket task_control: 0 values"},
		"another application's": {func(w *world) {
			w.createControl(func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false })
		}, "warn bucket task_control: belongs to another application and is left unchanged: message TTL must be allowed. Workers go on without it"},
		"direct reads": {func(w *world) {
			w.createControl(func(c *jetstream.StreamConfig) { c.AllowDirect = true })
		}, "warn bucket task_control: cannot be used: direct reads must be off (allow direct). Workers go on without it"},
		"overlap": {func(w *world) {
			natstest.Stream(w.t, w.js, jetstream.StreamConfig{Name: "ALL", Subjects: []string{"$KV.task_control.x"}})
		}, "warn bucket task_control: missing, and cannot be created: its subjects overlap with those of stream ALL. Workers go on without it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.arrange(w)
			got := w.check()
			w.finds(got, c.want)
			if strings.Contains(got, "BAD") {
				t.Errorf("got\n%s\nwant nothing BAD", got)
			}
		})
	}
}

// limitedWorld is a world with this configuration of its account. The user "a" has all permissions.
func limitedWorld(t *testing.T, jetStream, permissions string) *world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := fmt.Sprintf("accounts { A { jetstream: %s, users: [{ user: a, password: a }, { user: w, password: w, permissions: { publish: { deny: [%s] } } }] } }\n", jetStream, permissions)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	server := natstest.StartWith(t, natsserver.Config{File: file})
	w := newWorld(t)
	_, w.js = server.Connect(nats.UserInfo("a", "a"))
	w.cfg.NATS.URL, w.cfg.NATS.User, w.cfg.NATS.Password = server.URL(), "a", "a"
	return w
}

// An account may have just enough streams for what a worker needs.
func TestTheControlBucketDoesNotCountAsNeeded(t *testing.T) {
	t.Parallel()
	w := limitedWorld(t, "{ max_streams: 5 }", `"none"`)
	for _, when := range []string{"before", "after"} {
		got := w.check()
		w.finds(got, "warn bucket task_control: missing, and cannot be created: max streams of the account is 5")
		if strings.Contains(got, "BAD") {
			t.Errorf("%s the streams were created: got\n%s\nwant nothing BAD", when, got)
		}
		w.provision()
	}
}

func TestMissingPermissionsForTheControlBucketAreAWarning(t *testing.T) {
	t.Parallel()
	for denied, says := range map[string]string{
		"$JS.API.STREAM.INFO.KV_task_control":    `cannot be used: missing permission: publish to "$JS.API.STREAM.INFO.KV_task_control"`,
		"$JS.API.STREAM.CREATE.KV_task_control":  `missing, and cannot be created: missing permission: publish to "$JS.API.STREAM.CREATE.KV_task_control"`,
		"$JS.API.STREAM.MSG.GET.KV_task_control": `missing permission: publish to "$JS.API.STREAM.MSG.GET.KV_task_control"`,
		"$KV.task_control.>":                     `missing permission: publish to "$KV.task_control.>"`,
	} {
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			w := limitedWorld(t, "enabled", fmt.Sprintf("%q", denied))
			w.cfg.NATS.User, w.cfg.NATS.Password = "w", "w"
			got := w.check()
			w.finds(got, "warn bucket task_control: "+says+". Workers go on without it")
			if strings.Contains(got, "BAD") {
				t.Errorf("got\n%s\nwant nothing BAD", got)
			}
		})
	}
}

// A login may be older than the watch on the bucket.
func TestAMissingPermissionForTheWatchIsAWarning(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"CREATE", "MSG.NEXT", "DELETE"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			subject := "$JS.API.CONSUMER." + call + ".KV_task_control.*"
			w := limitedWorld(t, "enabled", fmt.Sprintf("%q", subject))
			w.createControl(func(*jetstream.StreamConfig) {})
			w.cfg.NATS.User, w.cfg.NATS.Password = "w", "w"
			got := w.check()
			w.finds(got, fmt.Sprintf("warn bucket task_control: missing permission: publish to %q. Workers go on without it, and do not see", subject))
			if strings.Contains(got, "BAD") {
				t.Errorf("got\n%s\nwant nothing BAD", got)
			}
		})
	}
}
