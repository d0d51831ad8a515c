package anchortest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestARunTimeIsATimeWithASpread(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]anchortest.RunTime{
		"20s": {Mean: 20 * time.Second}, "20s±50%": {20 * time.Second, 10 * time.Second}, "20s+-50%": {20 * time.Second, 10 * time.Second},
		"20s+/-50%": {20 * time.Second, 10 * time.Second}, "1m ± 5s": {time.Minute, 5 * time.Second}, "0s": {}, "3s±100%": {3 * time.Second, 3 * time.Second},
		"1.5s±0%": {Mean: 1500 * time.Millisecond},
	} {
		got, err := anchortest.ParseRunTime(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "must be a duration", "20": "must be a duration", "-1s": "must be a duration", "20s±": "must be a duration", "20s±x%": "must be a duration",
		"20s±-5%": "must be a duration", "20s±-5s": "must be a duration", "20s±NaN%": "must be a duration", "20s±5s±5s": "must be a duration",
		"20s±101%": "at most 100%", "20s±21s": "at most 100%", "20s±1e300%": "at most 100%", "20s±\x1b[2J": `(got "20s±\x1b[2J")`,
	} {
		if got, err := anchortest.ParseRunTime(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %s", text, got, err, want)
		}
	}
}

func FuzzParseRunTime(f *testing.F) {
	for _, seed := range []string{"20s±50%", "1h+-1m", "1s+/-99.9%", "±", "9e18h±1e308%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := anchortest.ParseRunTime(text)
		if err != nil {
			return
		}
		if got.Mean < 0 || got.Spread < 0 || got.Spread > got.Mean {
			t.Fatalf("got %v, want no time below 0", got)
		}
		if again, err := anchortest.ParseRunTime(got.String()); err != nil || again != got {
			t.Fatalf("got %v, %v from %s, want %v", again, err, got, got)
		}
	})
}

// runTimes returns how long ten workflows ran.
func runTimes(t *testing.T, seed uint64) (times []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := anchortest.New(anchortest.WithRunTime(seed, anchortest.RunTime{Mean: 20 * time.Second, Spread: 10 * time.Second}))
		defer s.Close()
		for range 10 {
			began := time.Now()
			_, _ = ask(t, s, "POST", webTask, `{"prompt":"x"}`)
			times = append(times, time.Since(began))
		}
	})
	return times
}

func TestWorkflowsRunForADrawnTime(t *testing.T) {
	first, again := runTimes(t, 7), runTimes(t, 7)
	least, most := first[0], first[0]
	for i, each := range first {
		if each < 10*time.Second || each > 30*time.Second || each != again[i] {
			t.Errorf("got %v and with the same seed %v, want the same from 10 s to 30 s", each, again[i])
		}
		least, most = min(least, each), max(most, each)
	}
	if most-least < 5*time.Second {
		t.Errorf("got times from %v to %v, want them spread", least, most)
	}
}

func TestAPlansOwnTimeIsNotDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anchortest.New(anchortest.WithRunTime(1, anchortest.RunTime{Mean: time.Hour}), planned(anchortest.Plan{Run: time.Second}))
		defer s.Close()
		began := time.Now()
		_, _ = ask(t, s, "POST", webTask, `{"prompt":"x"}`)
		if got := time.Since(began); got != time.Second {
			t.Errorf("got %v, want the plan's second", got)
		}
	})
}
