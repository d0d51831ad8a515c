package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

func TestDurationsAreShownAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 12 * time.Millisecond: "12ms", 1234 * time.Millisecond: "1.2s", 42 * time.Second: "42s",
		185 * time.Second: "3m 5s", 130 * time.Minute: "2h 10m", 76 * time.Hour: "3d 4h",
	} {
		if got := dashboard.Duration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := dashboard.Grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestTheLimitIsExplainedOnce(t *testing.T) {
	t.Parallel()
	for want, limit := range map[string]inspect.LimitUse{
		"Not known yet: no worker has run.":                             {},
		"3 of 25 tasks in progress; the plan has 25 browsers.":          {Held: 3, InFlight: 25, Plan: 25},
		"3 of 25 tasks in progress (the plan runs 25 browsers).":        {Held: 3, InFlight: 25, Plan: 25, Reason: "the plan runs 25 browsers"},
		"3 of 9 tasks in progress; the plan has 25 browsers (as set).":  {Held: 3, InFlight: 9, Plan: 25, Reason: "as set"},
		"3 of 10,000 tasks in progress (the plan has no limit).":        {Held: 3, InFlight: 10000, Plan: -1, Reason: "the plan has no limit"},
		"3 of 10,000 tasks in progress; the plan has no browser limit.": {Held: 3, InFlight: 10000, Plan: -1},
	} {
		if got := dashboard.LimitText(limit); got != want {
			t.Errorf("%+v: got %s, want %s", limit, got, want)
		}
	}
}

func TestANameBreaksBehindDots(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "w1": "w1", "shop.example": "shop.|example", "a.": "a.", "...": ".|.|.", "_tcp.shop-9.example": "_|tcp.|shop-9.|example", "\xff.\xff": "\xff.|\xff",
		"worker-6f9c8d7b5-x2x4q":        "worker-6f9c8d7b5-x2x4q", // browsers break behind hyphens
		strings.Repeat("x", 45):         strings.Repeat("x", 20) + "|" + strings.Repeat("x", 20) + "|xxxxx",
		strings.Repeat("\u202e", 5):     "\u202e\u202e\u202e\u202e|\u202e", // each is shown with six characters
		"a." + strings.Repeat("ü", 301): "a.|" + strings.Repeat(strings.Repeat("ü", 20)+"|", 7) + strings.Repeat("ü", 9) + "…",
	} {
		if got := strings.Join(dashboard.Pieces(name), "|"); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestWordsOfACommandAreQuoted(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"ord-1842": "ord-1842", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm -rf /)": "'$(rm -rf /)'", "a;b": "'a;b'", "ü": "'ü'",
	} {
		if got := dashboard.ShellQuoted(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
