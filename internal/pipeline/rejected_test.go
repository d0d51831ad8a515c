package pipeline_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A session that belongs to another account is the task's own fault: the third 403 ends the task, although no other
// submission was accepted in between.
func TestATaskWhoseSessionIsForbiddenIsRejectedAtTheThird403(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forbidden := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(403).Repeated(-1)}}
	w.finish("w1", w.request(w.planned(forbidden, `,"sessionId":"s1"`))(1))
	if ev := w.wantOneEvent(task.Rejected, 0); ev.Attempts != 3 {
		t.Errorf("got %d POSTs, want 3", ev.Attempts)
	}
}

// A 403 without a session is about the account: the task waits until the API accepts it.
func TestATaskWithoutASessionIsNotRejectedByA403(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forbidden := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(403).Repeated(3)}}
	w.finish("w1", w.request(w.planned(forbidden, ""))(1))
	if ev := w.wantOneEvent(success, 1); ev.Attempts != 4 {
		t.Errorf("got %d POSTs, want 4", ev.Attempts)
	}
}
