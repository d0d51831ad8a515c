package anchor

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// asksToReturn reports whether an answer has a Retry-After, with whatever value: such an answer was given on purpose.
func asksToReturn(h http.Header) bool { return len(h.Values("Retry-After")) > 0 }

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date. It reports whether it could. It is
// lenient: fractions of a second are rounded up, and of a list the largest counts. A date that has passed, and a
// number below 0, is a wait below 0.
func retryAfter(h http.Header) (wait time.Duration, ok bool) {
	wait = math.MinInt64
	for _, line := range h.Values("Retry-After") {
		if date, ok := parseDate(line); ok {
			wait = max(wait, date.Sub(answeredAt(h)))
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if seconds, ok := lenientSeconds(part); ok {
				wait = max(wait, seconds)
			}
		}
	}
	return wait, wait > math.MinInt64
}

// answeredAt is when an answer was given, by the clock that its dates were written by.
func answeredAt(h http.Header) time.Time {
	if date, ok := parseDate(h.Get("Date")); ok {
		return date
	}
	return time.Now()
}

// parseDate reads the three forms of dates in HTTP (RFC 9110, section 5.6.7), and others that servers send: with UTC
// in place of GMT, with an offset, and that of RFC 3339.
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

// lenientSeconds reads a number of seconds, bounded to longestWait on either side.
func lenientSeconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.Trim(text, " \t\""), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		return 0, false
	}
	bound := longestWait.Seconds()
	return time.Duration(math.Ceil(min(max(n, -bound), bound))) * time.Second, true
}
