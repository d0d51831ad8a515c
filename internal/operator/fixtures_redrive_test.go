package operator_test

import (
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// fail stores what is left of a task that failed.
func (s *site) fail(id, code string, more ...string) {
	s.t.Helper()
	s.WriteLetter(id, code, operatortest.Request(id, more...))
	s.WriteRecord(task.Record{TaskID: id, State: task.Failed, ErrorCode: task.Code(code)})
}

// plan plans a redrive.
func (s *site) plan(f operator.RedriveFilter, sets ...string) *operator.Redrive {
	s.t.Helper()
	var changes []operator.Change
	for _, set := range sets {
		change, err := operator.ParseChange(set)
		if err != nil {
			s.t.Fatal(err)
		}
		changes = append(changes, change)
	}
	r, err := s.PlanRedrive(s.t.Context(), f, changes)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// summary is a plan as text.
func summary(r *operator.Redrive) string {
	var all []string
	for _, each := range r.Tasks {
		all = append(all, each.TaskID+" → "+each.NewID)
	}
	for _, each := range r.LeftOut {
		all = append(all, each.TaskID+": "+string(each.Why))
	}
	return strings.Join(all, ", ")
}

// anyTask chooses all tasks.
var anyTask = operator.RedriveFilter{Since: time.Hour}
