package anchor

import (
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// longestWait bounds what the API can ask for: a broken header must not stop a worker for a day.
const longestWait = time.Hour

// askedWait is how long the API asked to wait, from 0 (it did not ask) to longestWait. Retry-After, which
// speaks of this request, goes before RateLimit, which speaks of all.
func askedWait(h http.Header) time.Duration {
	wait, ok := retryAfter(h)
	if !ok {
		wait = rateLimitReset(h)
	}
	return min(max(wait, 0), longestWait)
}

// rateLimitReset reads RateLimit (draft-ietf-httpapi-ratelimit-headers-08), a list of policies such as
// "5-in-1min"; r=0; t=58. It returns the longest t, in seconds, of those that have no request remaining.
func rateLimitReset(h http.Header) (longest time.Duration) {
	policies, err := httpsfv.UnmarshalList(h.Values("RateLimit"))
	if err != nil {
		return 0
	}
	for _, policy := range policies {
		item, ok := policy.(httpsfv.Item)
		if !ok {
			continue
		}
		remaining, _ := item.Params.Get("r")
		reset, _ := item.Params.Get("t")
		if seconds, ok := reset.(int64); ok && remaining == int64(0) {
			longest = max(longest, time.Duration(min(seconds, int64(longestWait/time.Second)))*time.Second)
		}
	}
	return longest
}
