package admission

import (
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Waits is written on another branch.
func (a *Admission) Waits() (reason task.WaitReason, until time.Time) {
	return task.ForSlots, time.Time{}
}
