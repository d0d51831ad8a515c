package anchor_test

import (
	"net/http"
	"testing"
	"time"
)

func TestWaitIsWhatTheHeadersAsk(t *testing.T) {
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
