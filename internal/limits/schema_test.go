package limits_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/limits"
)

// A worker takes a stored limit exactly if it fits the schema. What is missing is 0 to it, which a worker always writes.
func TestAStoredLimitIsReadIfItFitsItsSchema(t *testing.T) {
	schema := contracttest.Load("limits")
	const whole = `{"in_flight":5,"plan":25,"reason":"r","changed_at":"2026-01-01T00:00:00Z","most":0,"wait":0,"steps":0}`
	for _, tc := range []struct {
		old, with  string
		fits, read bool
	}{
		{``, ``, true, true},
		{`"in_flight":5`, `"in_flight":0`, false, false},
		{`"in_flight":5`, `"in_flight":1`, true, true},
		{`"in_flight":5`, `"in_flight":100000`, true, true},
		{`"in_flight":5`, `"in_flight":100001`, false, false},
		{`"in_flight":5`, `"in_flight":"5"`, false, false},
		{`"in_flight":5,`, ``, false, false},
		{`"plan":25,`, ``, false, true},
		{`"plan":25`, `"plan":-1`, true, true},
		{`"plan":25`, `"plan":-2`, false, false},
		{`"plan":25`, `"plan":1000001`, false, false},
		{`"most":0`, `"most":100000`, true, true},
		{`"most":0`, `"most":100001`, false, false},
		{`"wait":0`, `"wait":300000000000`, true, true},
		{`"wait":0`, `"wait":300000000001`, false, false},
		{`"wait":0`, `"wait":-1`, false, false},
		{`"steps":0`, `"steps":1000000`, true, true},
		{`"steps":0`, `"steps":1000001`, false, false},
		{`"changed_at":"2026-01-01T00:00:00Z",`, ``, false, false},
		{`"2026-01-01T00:00:00Z"`, `"today"`, false, false},
		{whole, `[]`, false, false},
		{whole, `null`, false, false},
		{whole, `{`, false, false},
		{`"steps":0`, `"new":1`, true, true},
	} {
		value := strings.Replace(whole, tc.old, tc.with, 1)
		if err := schema.Check([]byte(value)); (err == nil) != tc.fits {
			t.Errorf("%s: got %v, want that it fits: %v", value, err, tc.fits)
		}
		if got := limits.ParseCap([]byte(value)).InFlight > 0; got != tc.read {
			t.Errorf("%s: got read %v, want %v", value, got, tc.read)
		}
	}
}
