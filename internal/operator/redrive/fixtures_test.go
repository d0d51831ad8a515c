package redrive_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/task"
)

// site is a queue, and what its tests do with it.
type site struct {
	*operatortest.Site
	t testing.TB
}

// newSite returns a site with all streams and buckets but those whose streams are named.
func newSite(tb testing.TB, without ...string) *site {
	tb.Helper()
	return &site{operatortest.Start(tb, without...), tb}
}

// fail stores what is left of a task that failed.
func (s *site) fail(id, code string, more ...string) {
	s.t.Helper()
	s.WriteLetter(id, code, operatortest.Request(id, more...))
	s.WriteRecord(task.Record{TaskID: id, State: task.Failed, ErrorCode: task.Code(code)})
}

// plan plans a redrive.
func (s *site) plan(f redrive.Filter, sets ...string) *redrive.Plan {
	s.t.Helper()
	var changes []redrive.Change
	for _, set := range sets {
		change, err := redrive.ParseChange(set)
		if err != nil {
			s.t.Fatal(err)
		}
		changes = append(changes, change)
	}
	r, err := redrive.NewPlan(s.t.Context(), s.Queue, f, changes)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// summary is a plan as text.
func summary(r *redrive.Plan) string {
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
var anyTask = redrive.Filter{Since: time.Hour}
