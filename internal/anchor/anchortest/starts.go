package anchortest

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// StartRate bounds the submissions of an account. The first one begins a window; those beyond the quota are refused with
// 429 and Retry-After until the window ends. Each submission with the right key counts, whatever becomes of it.
type StartRate struct {
	Quota  int           // submissions in a window
	Window time.Duration // at least a second
	Silent bool          // leave out RateLimit and RateLimit-Policy
}

// WithStartRate bounds the rate of submissions. Each answer to a submission says how many remain, in the form of the
// real API's answers (draft-ietf-httpapi-ratelimit-headers-08), in whole seconds that are rounded up. Default: no limit.
func WithStartRate(r StartRate) Option { return func(s *Server) { s.starts = &startWindow{rate: r} } }

// startWindow is the current window. The server's mutex guards it.
type startWindow struct {
	rate StartRate
	ends time.Time
	used int
}

// count counts a submission. It returns the headers of its answer, and whether it is refused. A nil window refuses none.
func (w *startWindow) count() (header map[string]string, refused bool) {
	if w == nil {
		return nil, false
	}
	now := time.Now()
	if !now.Before(w.ends) {
		w.ends, w.used = now.Add(w.rate.Window), 0
	}
	if refused = w.used >= w.rate.Quota; !refused {
		w.used++
	}
	return w.header(int(math.Ceil(w.ends.Sub(now).Seconds())), refused), refused
}

// header returns the headers of an answer. reset is the time to the end of the window, in seconds.
func (w *startWindow) header(reset int, refused bool) map[string]string {
	header := map[string]string{}
	if refused {
		header["Retry-After"] = strconv.Itoa(reset)
	}
	if !w.rate.Silent {
		name := fmt.Sprintf("%d-in-%.0fs", w.rate.Quota, w.rate.Window.Seconds())
		header["RateLimit"] = fmt.Sprintf("%q; r=%d; t=%d", name, w.rate.Quota-w.used, reset)
		header["RateLimit-Policy"] = fmt.Sprintf("%q; q=%d; w=%.0f", name, w.rate.Quota, w.rate.Window.Seconds())
	}
	return header
}

// tooManyStarts is the answer to a submission that is refused.
func tooManyStarts() Fault { return refusal(http.StatusTooManyRequests, "too many requests") }
