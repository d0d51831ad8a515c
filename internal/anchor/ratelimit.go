package anchor

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds what the API can ask for: a broken header must not stop a worker for a day.
const longestWait = time.Hour

// askedWait is how long the API asked to wait, from 0 (it did not ask) to longestWait. Retry-After, which
// speaks of this request, goes before RateLimit, which speaks of all.
func askedWait(h http.Header) time.Duration {
	if wait, ok := retryAfter(h); ok {
		return wait
	}
	return rateLimitReset(strings.Join(h.Values("RateLimit"), ","))
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date. It reports whether there
// was a valid one.
func retryAfter(h http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if wait, ok := seconds(value); ok {
		return wait, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(time.Until(date), 0), longestWait), true
}

// rateLimitReset reads RateLimit (draft-ietf-httpapi-ratelimit-headers-08), a list of policies such as
// "5-in-1min"; r=0; t=58. It returns the longest t, in seconds, of those that have no request remaining.
func rateLimitReset(header string) time.Duration {
	var longest time.Duration
	for _, policy := range splitUnquoted(header, ',') {
		var remaining, reset string
		for _, param := range splitUnquoted(policy, ';')[1:] {
			name, value, _ := strings.Cut(param, "=")
			switch strings.TrimSpace(name) {
			case "r":
				remaining = strings.TrimSpace(value)
			case "t":
				reset = strings.TrimSpace(value)
			}
		}
		if wait, ok := seconds(reset); ok && remaining == "0" {
			longest = max(longest, wait)
		}
	}
	return longest
}

// splitUnquoted splits a structured field (RFC 9651) at a separator that stands outside of strings. It
// returns at least one part.
func splitUnquoted(s string, separator byte) []string {
	var parts []string
	quoted, escaped, start := false, false, 0
	for i := range len(s) {
		switch {
		case escaped:
			escaped = false
		case quoted && s[i] == '\\':
			escaped = true
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == separator:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// seconds reads a whole number of seconds, 0 or more, and bounds it.
func seconds(value string) (time.Duration, bool) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, uint64(longestWait/time.Second))) * time.Second, true
}
