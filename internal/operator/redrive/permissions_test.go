package redrive_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
)

// Without this, a body that is kept would count as lost, and its task would be left out.
func TestALargeBodyThatMayNotBeReadStopsTheRedrive(t *testing.T) {
	t.Parallel()
	q, all := operatortest.StartLimited(t, operatortest.PublishOnly("$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.>"))
	s := &site{all, t}
	s.PutObject("dead/1", operatortest.Request("a"))
	s.WriteLetter("a", "timeout", "", "Capstan-Object", "task_results/dead/1")
	if got := summary(s.plan(anyTask)); got != "a → a.r1" {
		t.Errorf("got %s, want it sent by a login with all permissions", got)
	}
	_, err := redrive.NewPlan(t.Context(), q, anyTask, nil)
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "dead letter of task a") || !strings.Contains(err.Error(), "$O.task_results.M.") {
		t.Errorf("got %v, want the missing permission", err)
	}
}
