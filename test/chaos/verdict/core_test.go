package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// withCore is the evidence of a task that went well and of what a subscriber got.
func withCore(core verdict.Core) verdict.Evidence {
	e := good()
	e.Core = core
	return e
}

func TestTheSubscriberWithoutJetStreamGetsEachEventOnce(t *testing.T) {
	fiveExcused := func(string) int { return 5 }
	for name, tc := range map[string]struct {
		core            verdict.Core
		want            string // in the one problem; empty: none
		copies, excused int
	}{
		"once":                          {core: verdict.Core{Got: map[string]int{"a": 1}}},
		"no subscriber":                 {},
		"not at all":                    {core: verdict.Core{Got: map[string]int{}}, want: "event 7 did not reach"},
		"not at all, and it was away":   {core: verdict.Core{Got: map[string]int{}, Lost: true}},
		"twice":                         {core: verdict.Core{Got: map[string]int{"a": 2}}, want: `got "a" 2 times, and faults explain 1`, copies: 1},
		"as often as faults explain":    {core: verdict.Core{Got: map[string]int{"a": 6}, Excuses: fiveExcused}, copies: 5, excused: 5},
		"more often than faults":        {core: verdict.Core{Got: map[string]int{"a": 11}, Excuses: fiveExcused}, want: `got "a" 11 times`, copies: 10, excused: 5},
		"an event that is not stored":   {core: verdict.Core{Got: map[string]int{"a": 1, "a/12/5": 1}}, want: `got "a/12/5", and the stream did not`},
		"once, although faults explain": {core: verdict.Core{Got: map[string]int{"a": 1}, Excuses: fiveExcused}},
	} {
		c := verdict.Judge([]verdict.Task{asked()}, withCore(tc.core))
		if problems := strings.Join(c.Problems, "\n"); (tc.want == "") != (problems == "") || !strings.Contains(problems, tc.want) {
			t.Errorf("%s: got problems %q, want %q", name, problems, tc.want)
		}
		if c.Copies != tc.copies || c.Excused != tc.excused {
			t.Errorf("%s: got %d copies, %d excused, want %d and %d", name, c.Copies, c.Excused, tc.copies, tc.excused)
		}
	}
}

func TestOlderWorkersAreHeldToWhatTheyPromised(t *testing.T) {
	a := asked()
	a.Copies = 1
	again := withHeaders(succeeded(), "a.12")
	again.Seq, again.Replay = 8, true
	e := evidence(succeeded(), again)
	e.Core.Got = map[string]int{"a": 4, "a.12": 1}
	if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) != 2 {
		t.Errorf("got problems %q, want two without older workers", c.Problems)
	}
	e.Older = true
	if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) > 0 {
		t.Errorf("got problems %q, want none with older workers", c.Problems)
	}
	both := withHeaders(succeeded(), "a/12/1780000000123") // a newer version repeated the event for the same copy
	both.Seq, both.Replay = 9, true
	e.Events, e.Core.Got["a/12/1780000000123"] = append(e.Events, both), 1
	if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) > 0 {
		t.Errorf("got problems %q, want none if both versions repeat the event", c.Problems)
	}
	e.Events = append(e.Events, both)
	if c := verdict.Judge([]verdict.Task{a}, e); c.Duplicates != 1 {
		t.Errorf("got %d events too many, want 1", c.Duplicates)
	}
	e.Events = e.Events[:2]
	e.Runs["a"] = e.Runs["b"] // none was started
	if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) == 0 {
		t.Error("got no problem of a workflow that was never started, want one")
	}
}

func TestTheMessageIDOfARepetitionSaysWhenItsRequestWasStored(t *testing.T) {
	a := asked()
	a.Copies = 1
	for id, good := range map[string]bool{
		"a/12/1780000000123": true,
		"a/12/1780000001123": true,
		"a/12/1780000000122": false, // before it was published
		"a/12/1780000001124": false, // after it was acknowledged
		"a/12/":              false,
		"a/12":               false,
		"a.12":               false,
	} {
		again := withHeaders(succeeded(), id)
		again.Seq, again.Replay = 8, true
		c := verdict.Judge([]verdict.Task{a}, evidence(succeeded(), again))
		if (len(c.Problems) == 0) != good {
			t.Errorf("%s: got problems %q, want some: %t", id, c.Problems, !good)
		}
	}
}

func TestARecordThatWasDeletedAfterTheEndIsNoProblem(t *testing.T) {
	e := good()
	delete(e.Records, "a")
	if c := verdict.Judge([]verdict.Task{asked()}, e); len(c.Problems) != 1 {
		t.Errorf("got problems %q, want one", c.Problems)
	}
	e.Forgotten = func(id string) bool { return id == "a" }
	if c := verdict.Judge([]verdict.Task{asked()}, e); len(c.Problems) > 0 {
		t.Errorf("got problems %q, want none", c.Problems)
	}
	e.Records["a"] = task.Record{TaskID: "a", State: task.Running, UpdatedAt: time.Now()}
	if c := verdict.Judge([]verdict.Task{asked()}, e); len(c.Problems) != 1 {
		t.Errorf("got problems %q, want one of a record that is there and differs", c.Problems)
	}
}
