package dashboard_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/dashboard"
)

func TestDurationsAreShownAsPeopleSayThem(t *testing.T) {
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
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := dashboard.Grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestWordsOfACommandAreQuoted(t *testing.T) {
	for word, want := range map[string]string{
		"ord-1842": "ord-1842", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm -rf /)": "'$(rm -rf /)'", "a;b": "'a;b'", "ü": "'ü'",
	} {
		if got := dashboard.ShellQuoted(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
