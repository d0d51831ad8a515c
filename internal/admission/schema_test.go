package admission_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/contract/contracttest"
)

// A worker takes a stored window exactly if it fits the schema, apart from times that are too late: a schema does not know
// what time it is. What is missing is 0 to it, which a worker always writes.
func TestAStoredWindowIsReadIfItFitsItsSchema(t *testing.T) {
	schema := contracttest.Load("starts")
	now := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	const whole = `{"number":1,"sent":"2026-01-01T00:00:00Z","end":"2026-01-01T00:01:00Z","remaining":5,"under_way":1,` +
		`"acquired":"2026-01-01T00:00:01Z","quota":25,"length":60000000000,"assumed":false}`
	for _, tc := range []struct {
		old, with  string
		fits, read bool
	}{
		{``, ``, true, true},
		{`"number":1`, `"number":18446744073709551615`, true, true},
		{`"number":1`, `"number":-1`, false, false},
		{`"number":1,`, ``, false, true},
		{`"remaining":5`, `"remaining":0`, true, true},
		{`"remaining":5`, `"remaining":-1`, false, false},
		{`"remaining":5`, `"remaining":1000001`, false, false},
		{`"under_way":1`, `"under_way":1000000`, true, true},
		{`"under_way":1`, `"under_way":1000001`, false, false},
		{`"quota":25`, `"quota":1000001`, false, false},
		{`"length":60000000000`, `"length":3600000000000`, true, true},
		{`"length":60000000000`, `"length":3600000000001`, false, false},
		{`"length":60000000000`, `"length":-1`, false, false},
		{`"assumed":false`, `"assumed":"no"`, false, false},
		{`"2026-01-01T00:01:00Z"`, `"soon"`, false, false},
		{`"2026-01-01T00:01:00Z"`, `"2099-01-01T00:01:00Z"`, true, false},
		{whole, `[]`, false, false},
		{whole, ``, false, false},
	} {
		value := []byte(strings.Replace(whole, tc.old, tc.with, 1))
		if err := schema.Check(value); (err == nil) != tc.fits {
			t.Errorf("%s: got %v, want that it fits: %v", value, err, tc.fits)
		}
		if err := admission.ParseWindow(value, now); (err == nil) != tc.read {
			t.Errorf("%s: got %v, want that it is read: %v", value, err, tc.read)
		}
	}
}
