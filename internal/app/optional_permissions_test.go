package app_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A login may be older than the bucket in which workers share what they learn, or than their service. Workers go on
// without both, and say what they could be granted.
func TestAWorkerWorksWithoutTheOptionalPermissions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ granted, instead, missed, env string }{
		"control bucket":        {`(?m)^.*task_control.*\n`, "", "task_control", "LOG_LEVEL=debug"},
		"watch":                 {`(?m)^.*API.CONSUMER.(CREATE|MSG.NEXT|DELETE).KV_task_control.\*".*\n`, "", "CONSUMER.CREATE.KV_task_control.*", "LOG_LEVEL=debug"},
		"limit":                 {`(?m)^.*CONSUMER.CREATE.TASKS.worker.tasks.request.*\n`, "", "CONSUMER.CREATE.TASKS.worker.tasks.request", "LOG_LEVEL=debug"},
		"limit, with provision": {`(?m)^.*CONSUMER.CREATE.TASKS.worker.tasks.request.*\n`, "", "CONSUMER.CREATE.TASKS.worker", "NATS_PROVISION=true"},
		"service":               {`(?m)"_INBOX_worker.>" .*\n.*"\$SRV.*$`, `"_INBOX_worker.>"]`, `"subscribe"`, "LOG_LEVEL=debug"},
		"answers":               {`(?m)^ *allow_responses: true.*\n`, "", "_INBOX_operator", "LOG_LEVEL=debug"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.provision()
			text := regexp.MustCompile(c.granted).ReplaceAllString(g.text, c.instead)
			if text == g.text {
				t.Fatalf("got no %s in the configuration, want it", c.granted)
			}
			g.reload(text)
			p := g.start("w1", append(g.guardedEnv(), strings.Fields(c.env)...)...)
			natstest.Eventually(t, func() error { return p.logged("worker is ready") })
			asker, _ := g.as("OPERATOR")
			g.submit("a", done)
			if ev := g.waitEvents(1)[0]; ev.Status != task.Succeeded {
				t.Errorf("got %+v", ev.Event)
			}
			g.waitQuiet()
			natstest.Eventually(t, func() error {
				_, err := fleet.All(t.Context(), asker)
				if len(p.denials()) == 0 {
					return errors.Join(err, errors.New("nothing was denied"))
				}
				return nil
			})
			for _, line := range p.denials() {
				if !strings.Contains(line, c.missed) || !strings.Contains(line, `"level":"warn"`) {
					t.Errorf("got %s, want warnings about %s only", line, c.missed)
				}
			}
			if got := p.get("/readyz"); !strings.Contains(got, "permissions: ok") {
				t.Errorf("got %s, want a worker that is ready", got)
			}
		})
	}
}

// Workers count each other, with the documented permissions.
func TestAWorkersLoginMayAskTheOthers(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.provision()
	p := g.start("w1", g.guardedEnv()...)
	natstest.Eventually(t, func() error { return p.logged("worker is ready") })
	worker, _ := g.as("WORKER")
	natstest.Eventually(t, func() error {
		all, err := fleet.All(t.Context(), worker)
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("got %d workers, want 1", len(all))
		}
		return err
	})
}
