package anchor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// The server's clock differs from the worker's. Its Date header shows by how much.
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
				want{kind: task.NotNow, reason: reason, wait: c.want}.check(t, "", err)
			}
		})
	}
}

func TestRetryAfterDateWithoutDateHeaderUsesTheLocalClock(t *testing.T) {
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

func TestWaitFollowsTheHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retryAfter string
		rateLimit  []string
		want       time.Duration
	}{
		"nothing":             {"", nil, 0},
		"seconds":             {"58", nil, 58 * time.Second},
		"seconds go first":    {"3", []string{`"a"; r=0; t=58`}, 3 * time.Second},
		"a day":               {"86400", nil, time.Hour},
		"more than fits":      {"18446744073709551615", nil, time.Hour},
		"negative":            {"-5", nil, 0},
		"past date":           {"Mon, 03 Aug 2020 10:00:00 GMT", nil, 0},
		"far date":            {"Mon, 03 Aug 2099 10:00:00 GMT", nil, time.Hour},
		"one policy":          {"", []string{`"5-in-1min"; r=0; t=58`}, 58 * time.Second},
		"without blanks":      {"", []string{`"5-in-1min";r=0;t=58`}, 58 * time.Second},
		"not exhausted":       {"", []string{`"5-in-1min"; r=1; t=58`}, 0},
		"longest of several":  {"", []string{`"a"; r=0; t=5, "b"; r=0; t=7, "c"; r=9; t=900`}, 7 * time.Second},
		"on several lines":    {"", []string{`"a"; r=0; t=5`, `"b"; r=0; t=7`}, 7 * time.Second},
		"marks inside a name": {"", []string{`"a\"; r=0; t=99, b"; r=0; t=7; pk=:YQ==:`}, 7 * time.Second},
		"no number":           {"", []string{`"a"; r=0; t=soon`}, 0},
		"nonsense":            {"soon", []string{`;;,"`}, 0},
		"nonsense goes last":  {"soon", []string{`"a"; r=0; t=7`}, 7 * time.Second},
		"zero goes first":     {"0", []string{`"a"; r=0; t=7`}, 0},
		"negative goes first": {"-5", []string{`"a"; r=0; t=7`}, 0},
		"a long reset":        {"", []string{`"a"; r=0; t=999999999999999`}, time.Hour},
		"a negative reset":    {"", []string{`"a"; r=0; t=-7`}, 0},
		"a list in a list":    {"", []string{`("a" "b"); r=0; t=7, "c"; r=0; t=3`}, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Ratelimit"] = c.rateLimit
				w.Header().Set("Retry-After", c.retryAfter)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			_, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
			if got := submitError(t, err).RetryAfter; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
