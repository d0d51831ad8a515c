package app_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestADeniedEventIsToldAndStoredOnceItIsAllowed(t *testing.T) {
	t.Parallel()
	for _, lost := range []struct{ line, grant string }{
		{`"tasks.result" `, `publish to "tasks.result"`},
		{`"$KV.task_tracker.>" `, `publish to "$KV.task_tracker.>"`},
		{`"_INBOX_worker.>"`, `subscribe to "_INBOX_worker.>"`},
	} {
		t.Run(lost.grant, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.provision()
			if !strings.Contains(g.text, lost.line) {
				t.Fatal(errors.New("the configuration has no " + lost.line))
			}
			p := g.start("w1", g.guardedEnv()...)
			natstest.Eventually(t, func() error { return p.logged("worker is ready") })
			g.reload(strings.Replace(g.text, lost.line, `"none" `, 1))
			g.submit("a", done)
			p.notReady("missing permission: " + lost.grant)
			if got := p.get("/metrics"); !regexp.MustCompile(`capstan_nats_permission_violations_total\{operation="` + strings.Fields(lost.grant)[0] + `"\} [1-9]`).MatchString(got) {
				t.Error("the metrics do not report it")
			}
			g.reload(g.text)
			if ev := g.waitEvents(1)[0]; ev.Status != task.Succeeded {
				t.Errorf("got %+v", ev.Event)
			}
			g.waitQuiet()
		})
	}
}

// What the log says to grant has to be what the documentation lists.
func TestTheDocumentedPermissionsAreTheOnesThatTheLogNames(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	cfg, err := app.LoadToolConfig()
	if err != nil {
		t.Fatal(err)
	}
	_, worker, _ := strings.Cut(g.text, "nkey: $WORKER_KEY")
	worker, _, _ = strings.Cut(worker, "deny:")
	var documented []string
	for _, quoted := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(worker, -1) {
		documented = append(documented, quoted[1])
	}
	if named := cfg.Streams().Permissions(); !slices.Equal(documented, named) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(documented, "\n"), strings.Join(named, "\n"))
	}
}
