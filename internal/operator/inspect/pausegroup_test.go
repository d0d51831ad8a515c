package inspect_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

func TestWorkersThatSayTheSameAreOneGroup(t *testing.T) {
	t.Parallel()
	s := inspect.Status{Workers: []fleet.Status{
		{Worker: "w0", Submissions: "ok", Polls: "ok"},
		{Worker: "w1", Submissions: "waiting until 2026-11-26T02:00:00Z at most: the API accepts no more submissions now", Polls: "ok"},
		{Worker: "w2", Submissions: "waiting until 2026-11-26T02:00:07Z at most: the API accepts no more submissions now", Polls: "ok"},
		{Worker: "w3", Submissions: "waiting until 2026-11-26T02:00:03Z at most: the API accepts no more submissions now", Polls: "ok"},
		{Worker: "w4", Submissions: "paused until a probe is answered: unauthorized (read the key file: no such file)", Polls: "paused until 2026-11-26T02:01:00Z: unauthorized"},
		{Worker: "w5"}, // of a version that says nothing
	}}
	format := func(groups []inspect.PauseGroup) (text string) {
		for _, g := range groups {
			text += fmt.Sprintf("%v %q %v %v %v\n", g.Workers, g.Reason, g.Waits, g.NeedsPerson(), g.Until.Format(time.TimeOnly))
		}
		return text
	}
	want := `[w4] "unauthorized" false true 00:00:00` + "\n" + `[w1 w2 w3] "the" true false 02:00:07` + "\n"
	if got := format(s.SubmissionPauses()); got != want {
		t.Errorf("submissions: got\n%s\nwant\n%s", got, want)
	}
	if got, want := format(s.PollPauses()), `[w4] "unauthorized" false true 02:01:00`+"\n"; got != want {
		t.Errorf("polls: got\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyAPauseThatDoesNotEndByItselfNeedsAPerson(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"ok": false, "": false,
		"paused until 2026-11-26T02:00:00Z: rate_limited":                                     false,
		"paused until 2026-11-26T02:00:00Z: unavailable":                                      false,
		"paused until 2026-11-26T02:00:00Z: failing":                                          false,
		"paused until 2026-11-26T02:00:00Z: moon":                                             false, // a reason of a newer version
		"paused until 2026-11-26T02:00:00Z: no_credits":                                       true,
		"paused until 2026-11-26T02:00:00Z: refusing":                                         true,
		"paused until a probe is answered: forbidden":                                         true,
		"paused until 2026-11-26T02:00:00Z: proxy_login":                                      true,
		"paused until 02:00: not_the_api: a 404":                                              true,
		"paused by ada: no_credits":                                                           false, // an operator's reason
		"paused by ada until 2026-11-26T02:00:00Z: x":                                         false,
		"waiting until 2026-11-26T02:00:00Z at most: the API accepts no more submissions now": false,
	} {
		if got := inspect.ParseWorkerPause(text).NeedsPerson(); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
