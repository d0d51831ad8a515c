package anchor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// The answers' clock stands at a moment of its own: waits go by it, and not by the worker's.
func TestRetryAfterIsReadLeniently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []string
		want   time.Duration
	}{
		"seconds":             {[]string{"58"}, 58 * time.Second},
		"blanks":              {[]string{"  58\t"}, 58 * time.Second},
		"fraction":            {[]string{"1.5"}, 2 * time.Second},
		"small fraction":      {[]string{"0.001"}, time.Second},
		"exponent":            {[]string{"1e2"}, 100 * time.Second},
		"quotes":              {[]string{`"30"`}, 30 * time.Second},
		"list":                {[]string{"1, 1"}, time.Second},
		"list, largest":       {[]string{"3,7,5"}, 7 * time.Second},
		"list with nonsense":  {[]string{"soon, 7"}, 7 * time.Second},
		"two headers":         {[]string{"3", "7"}, 7 * time.Second},
		"date and number":     {[]string{"3", "Thu, 26 Nov 2026 06:10:08 GMT"}, 8 * time.Second},
		"zero":                {[]string{"0"}, 0},
		"negative":            {[]string{"-1"}, 0},
		"a bit negative":      {[]string{"-0.5"}, 0},
		"very negative":       {[]string{"-1e300"}, 0},
		"a day":               {[]string{"86400"}, time.Hour},
		"more than int64":     {[]string{"99999999999999999999"}, time.Hour},
		"more than float64":   {[]string{strings.Repeat("9", 400)}, time.Hour},
		"infinite":            {[]string{"Infinity"}, time.Hour},
		"no number":           {[]string{"NaN"}, 0},
		"nonsense":            {[]string{"soon"}, 0},
		"unit":                {[]string{"5s"}, 0},
		"empty":               {[]string{""}, 0},
		"commas":              {[]string{",,"}, 0},
		"date":                {[]string{"Thu, 26 Nov 2026 06:10:08 GMT"}, 8 * time.Second},
		"date in UTC":         {[]string{"Thu, 26 Nov 2026 06:10:08 UTC"}, 8 * time.Second},
		"RFC 850":             {[]string{"Thursday, 26-Nov-26 06:10:08 GMT"}, 8 * time.Second},
		"asctime":             {[]string{"Thu Nov 26 06:10:08 2026"}, 8 * time.Second},
		"offset":              {[]string{"Thu, 26 Nov 2026 07:10:08 +0100"}, 8 * time.Second},
		"RFC 3339":            {[]string{"2026-11-26T06:10:08Z"}, 8 * time.Second},
		"blank behind a date": {[]string{"Thu, 26 Nov 2026 06:10:08 GMT "}, 8 * time.Second},
		"far date":            {[]string{"Mon, 3 Aug 2099 10:00:00 GMT"}, time.Hour},
		"past date":           {[]string{"Thu, 26 Nov 2026 06:09:59 GMT"}, 0},
		"the year 1":          {[]string{"Mon, 01 Jan 0001 00:00:00 GMT"}, 0},
		"the year 9999":       {[]string{"Fri, 31 Dec 9999 23:59:59 GMT"}, time.Hour},
		"date of the past, 7": {[]string{"Mon, 03 Aug 2020 10:00:00 GMT", "7"}, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, 529} {
				server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Date", "Thu, 26 Nov 2026 06:10:00 GMT")
					w.Header()["Retry-After"] = c.values
					w.WriteHeader(status)
				})
				reason := task.Unavailable
				if status == http.StatusTooManyRequests {
					reason = task.RateLimited
				}
				_, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
				want{outcome: task.NotNow, reason: reason, wait: c.want}.check(t, "", err)
			}
		})
	}
}

func TestDateWithoutAClockBesideItGoesByTheWorkers(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Retry-After", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
	if got := submitError(t, err).RetryAfter; got < 9*time.Minute || got > 10*time.Minute {
		t.Errorf("got %v, want about 10m", got)
	}
}
