package poller_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/poller"
)

// A worker understands a shared value exactly if it fits the schema. What is missing is 0 to it, which a worker always
// writes.
func TestASharedValueIsUnderstoodIfItFitsItsSchema(t *testing.T) {
	t.Parallel()
	schema := contracttest.Load("pace")
	ages := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]" }
	whole := `{"version":1,"seen":200,"ends":` + ages(84) + `,"ran":` + ages(84) + `}`
	for _, tc := range []struct {
		old, with  string
		fits, read bool
	}{
		{``, ``, true, true},
		{`"version":1`, `"version":2`, false, false},
		{`"version":1,`, ``, false, false},
		{`"version":1`, `"version":"1"`, false, false},
		{`"seen":200`, `"seen":0`, true, true},
		{`"seen":200,`, ``, false, true},
		{`"seen":200`, `"seen":201`, false, false},
		{`"seen":200`, `"seen":-1`, false, false},
		{`[0,`, `[0.25,`, true, true},
		{`[0,`, `[1e12,`, true, true},
		{`[0,`, `[1e13,`, false, false},
		{`[0,`, `[-1,`, false, false},
		{`[0,`, `["0",`, false, false},
		{ages(84), ages(83), false, false},
		{ages(84), ages(85), false, false},
		{ages(84), `{}`, false, false},
		{whole, `[]`, false, false},
		{whole, ``, false, false},
		{`"seen":200`, `"seen":200,"new":1`, true, true},
	} {
		value := []byte(strings.Replace(whole, tc.old, tc.with, 1))
		if err := schema.Check(value); (err == nil) != tc.fits {
			t.Errorf("%s: got %v, want that it fits: %v", value, err, tc.fits)
		}
		if err := poller.ParseLearned(value); (err == nil) != tc.read {
			t.Errorf("%s: got %v, want that it is understood: %v", value, err, tc.read)
		}
	}
}
