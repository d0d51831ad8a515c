package anchor

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// maxWait bounds how long the API can ask to wait: a broken header must not stop a worker for a day.
const maxWait = time.Hour

// requestedWait returns how long an answer asks the client to wait: 0 if it does not ask, and at most maxWait.
// Retry-After, which is about this request, takes precedence over RateLimit, which is about all requests.
func requestedWait(h http.Header) time.Duration {
	wait, ok := retryAfter(h)
	if !ok {
		wait = rateLimitReset(h)
	}
	return min(max(wait, 0), maxWait)
}

// rateLimitReset reads RateLimit (draft-ietf-httpapi-ratelimit-headers-08), a list of policies such as
// "5-in-1min"; r=0; t=58. It returns the longest t, in seconds, of the policies that have no requests remaining.
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
			longest = max(longest, time.Duration(min(seconds, int64(maxWait/time.Second)))*time.Second)
		}
	}
	return longest
}

// hasRetryAfter reports whether an answer has a Retry-After with any value, even an invalid one: the server then turned
// the request away on purpose.
func hasRetryAfter(h http.Header) bool { return len(h.Values("Retry-After")) > 0 }

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), which is a number of seconds or a date, and reports whether it
// could. It is lenient: fractions of a second are rounded up, and the largest value of a list counts. The wait is
// negative for a date in the past and for a negative number.
func retryAfter(h http.Header) (wait time.Duration, ok bool) {
	wait = math.MinInt64
	for _, line := range h.Values("Retry-After") {
		if date, ok := parseDate(line); ok {
			wait = max(wait, date.Sub(answerTime(h)))
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if seconds, ok := parseSeconds(part); ok {
				wait = max(wait, seconds)
			}
		}
	}
	return wait, wait > math.MinInt64
}

// answerTime returns when the server answered, by its own clock if the answer has a Date. The difference of
// two of the server's times is right even if this machine's clock is not.
func answerTime(h http.Header) time.Time {
	if date, ok := parseDate(h.Get("Date")); ok {
		return date
	}
	return time.Now()
}

// parseDate reads the three forms of dates in HTTP (RFC 9110, section 5.6.7), and others that servers send: with UTC
// instead of GMT, with an offset, and as in RFC 3339.
func parseDate(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutSuffix(text, " UTC"); ok {
		text = rest + " GMT"
	}
	for _, layout := range []string{
		"Mon, 2 Jan 2006 15:04:05 GMT", "Monday, 2-Jan-06 15:04:05 GMT", time.ANSIC, "Mon, 2 Jan 2006 15:04:05 -0700", time.RFC3339,
	} {
		if date, err := time.Parse(layout, text); err == nil {
			return date, true
		}
	}
	return time.Time{}, false
}

// parseSeconds reads a number of seconds, which may have a fraction, and limits it to ±maxWait. The limit
// comes before the conversion, which overflows for large numbers.
func parseSeconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.Trim(text, " \t\""), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		return 0, false
	}
	bound := maxWait.Seconds()
	return time.Duration(math.Ceil(min(max(n, -bound), bound))) * time.Second, true
}
