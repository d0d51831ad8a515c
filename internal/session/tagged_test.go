package session_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestTheSessionsWithAllTagsAreEnded(t *testing.T) {
	t.Parallel()
	list := func(faults ...anchortest.Fault) anchortest.SessionPlan { return anchortest.SessionPlan{List: faults} }
	for name, c := range map[string]struct {
		rules anchortest.SessionRules
		plan  anchortest.SessionPlan
		stays bool // the sessions with the tags stay open
	}{
		"listed":                      {},
		"ended ones are listed":       {rules: anchortest.SessionRules{ListEnded: true}},
		"the list comes late":         {plan: list(anchortest.Answer(500), anchortest.Reset())},
		"the list lags":               {rules: anchortest.SessionRules{ListLag: time.Hour}, stays: true},
		"the list never comes":        {plan: list(anchortest.Answer(500).Repeated(-1)), stays: true},
		"the list is a gateway's":     {plan: list(anchortest.HTML(404).Repeated(-1)), stays: true},
		"the first end fails":         {plan: anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500)}}},
		"their ends are never stored": {plan: anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}}, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, c.rules, c.plan)
			first, second := w.open("capstan", taskTag, "r:1"), w.open(taskTag, "r:1")
			others := []string{w.open(taskTag, "r:2"), w.open("r:1"), w.open(), w.open("capstan-task:ab", "r:1")}
			ended := w.open(taskTag, "r:1")
			w.api.EndSession(ended)
			if err := w.endTagged(t.Context(), taskTag, "r:1"); err != nil {
				t.Fatal(err)
			}
			if c.stays {
				others = append(others, first, second)
			}
			w.wantOpen(others...)
			if log := w.log(ended); log.Deletes != 0 {
				t.Errorf("got %d calls to end a session that had ended, want none", log.Deletes)
			}
		})
	}
}

func TestNoSessionHasTheTags(t *testing.T) {
	t.Parallel()
	w := start(t, anchortest.SessionRules{}, anchortest.SessionPlan{})
	other := w.open("capstan-task:b")
	if err := w.endTagged(t.Context(), taskTag); err != nil {
		t.Fatal(err)
	}
	w.wantOpen(other)
}
