package admission_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
)

// invalidWindows are values that no worker can have written in the year 2000, in which a test's clock starts.
func invalidWindows() map[string]string {
	return map[string]string{
		"text":                      "hello",
		"empty":                     "",
		"a list":                    "[]",
		"a negative number":         `{"remaining":-1}`,
		"a negative length":         `{"remaining":1,"length":-5}`,
		"a large quota":             `{"quota":99999999999}`,
		"many under way":            `{"end":"2000-01-01T00:00:50Z","remaining":5,"under_way":1000001,"acquired":"2000-01-01T00:00:00Z"}`,
		"none remain, far end":      `{"number":1,"end":"2099-01-01T00:00:00Z","remaining":0}`,
		"all under way, far end":    `{"number":1,"end":"2099-01-01T00:00:00Z","remaining":5,"under_way":5}`,
		"an end after its length":   `{"number":1,"end":"2000-01-01T00:02:00Z","remaining":0,"quota":5,"length":60000000000}`,
		"an end without a length":   `{"number":1,"end":"2000-01-01T00:02:00Z","remaining":0}`,
		"sent in the future":        `{"number":1,"sent":"2000-01-01T02:00:00Z","end":"2000-01-01T00:00:30Z","remaining":0,"length":60000000000}`,
		"acquired in the future":    `{"number":1,"end":"2000-01-01T00:00:30Z","remaining":5,"under_way":5,"acquired":"2000-01-01T02:00:00Z"}`,
		"a number that cannot grow": `{"number":18446744073709551615,"end":"2099-01-01T00:00:00Z","remaining":0}`,
	}
}

func newLogged(out *bytes.Buffer) *admission.Admission {
	return admission.New(admission.Config{Concurrency: 16}, rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.New(out))
}

func wantWarnings(t *testing.T, out *bytes.Buffer, want int) {
	t.Helper()
	if got := strings.Count(out.String(), `"level":"warn"`); got != want {
		t.Errorf("got %d warnings, want %d:\n%s", got, want, out)
	}
}

func TestAnInvalidWindowHoldsNothingBackAndIsOverwritten(t *testing.T) {
	for name, value := range invalidWindows() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				shared := &store{value: []byte(value), revision: 7}
				a := newLogged(&out)
				a.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2})
				wantWaited(t, a, 0, 100*time.Millisecond)
				if string(shared.value) == value {
					t.Errorf("still %q in the store", value)
				}
				tell(t, a, 1, 30*time.Second) // the worker shares what it is told
				wantFree(t, a, 1)
				other := newAdmission(16, rate.Inf)
				other.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2})
				wantFree(t, other, 1)
				wantWarnings(t, &out, 1)
			})
		})
	}
}

// What a worker knows outlasts what another program writes, and is shared again.
func TestAnInvalidWindowReplacesNothing(t *testing.T) {
	for name, value := range invalidWindows() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := &store{}
				a := newAdmission(16, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2})
				tell(t, a, 0, 30*time.Second)
				shared.value = []byte(value)
				wantWaited(t, a, 29*time.Second, 31*time.Second)
			})
		})
	}
}

// A worker whose clock is wrong writes an invalid window again and again.
func TestInvalidWindowsAreNotLoggedForEachSubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		shared := &store{}
		a := newLogged(&out)
		a.Join(t.Context(), admission.Fleet{Store: shared})
		tell(t, a, 100, time.Minute)
		for range 50 {
			shared.value = []byte("hello")
			wantWaited(t, a, 0, 100*time.Millisecond)
		}
		wantWarnings(t, &out, 1)
		<-time.After(time.Minute)
		shared.value = []byte("hello")
		wantWaited(t, a, 0, 100*time.Millisecond)
		wantWarnings(t, &out, 2)
	})
}
