package steer_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAMissingPermissionToSteerIsNamed(t *testing.T) {
	t.Parallel()
	q, _ := operatortest.StartLimited(t, operatortest.PublishOnly("$JS.API.STREAM.INFO.*"), "KV_task_tracker")
	if _, err := steer.Cancel(t.Context(), q, []string{"a"}, task.Cancellation{}); err == nil || !strings.Contains(err.Error(), "STREAM.MSG.GET") && !strings.Contains(err.Error(), "task_tracker") && !strings.Contains(err.Error(), "missing permission") {
		t.Errorf("cancel: got %v, want the missing permission", err)
	}
	if _, err := steer.Pause(t.Context(), q, task.Pause{}); err == nil || !strings.Contains(err.Error(), "STREAM.MSG.GET.KV_task_control") {
		t.Errorf("pause: got %v, want the missing permission", err)
	}
}
