package anchor

import (
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// longestWindow bounds the windows that count. A longer one, such as a daily quota, is not a rate: if it is
	// exhausted, the API's refusals pause submissions.
	longestWindow = time.Hour

	// largestQuota is more submissions in a window than any plan allows.
	largestQuota = 1_000_000
)

// policy is one item of RateLimit-Policy. Its zero value is a policy of which nothing is known.
type policy struct {
	quota  int
	window time.Duration
}

// startsOf reads RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-08) of an answer to a submission
// that was sent at a time. Of several policies, the one with the fewest submissions remaining counts, and of those the
// one that ends last. Policies without a valid r and t do not count. ok is false if none counts.
func startsOf(h http.Header, sent time.Time) (starts task.Starts, ok bool) {
	limits, err := httpsfv.UnmarshalList(h.Values("RateLimit"))
	if err != nil || len(limits) == 0 {
		return task.Starts{}, false
	}
	policies := policiesOf(h)
	for _, member := range limits {
		limit, isItem := member.(httpsfv.Item)
		if !isItem || !isName(limit.Value) {
			continue
		}
		s, valid := startsOfPolicy(limit, policies[limit.Value])
		less := s.Remaining < starts.Remaining || s.Remaining == starts.Remaining && s.Reset > starts.Reset
		if valid && (!ok || less) {
			starts, ok = s, true
		}
	}
	starts.Sent = sent
	return starts, ok
}

// startsOfPolicy reads one item of RateLimit, and reports whether it could and whether it fits its policy.
func startsOfPolicy(limit httpsfv.Item, p policy) (starts task.Starts, ok bool) {
	remaining, hasRemaining := intParam(limit, "r", 0, largestQuota)
	seconds, hasReset := intParam(limit, "t", 0, int64(longestWindow/time.Second))
	reset := time.Duration(seconds) * time.Second
	if !hasRemaining || !hasReset || p.quota > 0 && (remaining > int64(p.quota) || reset > p.window) {
		return task.Starts{}, false
	}
	return task.Starts{Remaining: int(remaining), Reset: reset, Quota: p.quota, Window: p.window}, true
}

// policiesOf reads RateLimit-Policy, such as "5-in-1min"; q=5; w=60, by the names of the policies. It leaves out those
// without a valid q and w.
func policiesOf(h http.Header) map[any]policy {
	list, err := httpsfv.UnmarshalList(h.Values("RateLimit-Policy"))
	if err != nil {
		return nil
	}
	policies := map[any]policy{}
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok || !isName(item.Value) {
			continue
		}
		quota, hasQuota := intParam(item, "q", 1, largestQuota)
		seconds, hasWindow := intParam(item, "w", 1, int64(longestWindow/time.Second))
		if hasQuota && hasWindow {
			policies[item.Value] = policy{quota: int(quota), window: time.Duration(seconds) * time.Second}
		}
	}
	return policies
}

// isName reports whether a value can name a policy. Others, such as bytes, may not even be a map's key.
func isName(value any) bool {
	switch value.(type) {
	case string, httpsfv.Token:
		return true
	default:
		return false
	}
}

// intParam returns a parameter of an item, and whether it is an integer within these bounds.
func intParam(item httpsfv.Item, name string, least, most int64) (n int64, ok bool) {
	value, _ := item.Params.Get(name)
	n, ok = value.(int64)
	return n, ok && n >= least && n <= most
}

// isExhausted reports whether any policy of RateLimit has no requests remaining.
func isExhausted(h http.Header) bool {
	limits, err := httpsfv.UnmarshalList(h.Values("RateLimit"))
	if err != nil {
		return false
	}
	for _, member := range limits {
		if limit, ok := member.(httpsfv.Item); ok {
			if remaining, _ := limit.Params.Get("r"); remaining == int64(0) {
				return true
			}
		}
	}
	return false
}
