package admission

import (
	"cmp"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// windowMargin is added to the end of a window: a submission must not arrive before it. An answer tells the end in
	// whole seconds, rounded up, from when the submission arrived at the API, a little after it was sent.
	windowMargin = 100 * time.Millisecond

	// sameWindow is how far the ends of one window may differ by two answers.
	sameWindow = 1500 * time.Millisecond

	// lengthIfNotTold bounds how long a window holds submissions back whose length no answer tells.
	lengthIfNotTold = time.Minute

	// longestSubmission bounds how long submissions count as under way after the latest of them was acquired. A POST ends
	// long before, and a worker that has died releases nothing.
	longestSubmission = 2 * time.Minute

	// clockMargin is how far the clocks of two workers may differ.
	clockMargin = servertime.MaxSkew

	// mostStarts is more submissions than any API accepts in a window.
	mostStarts = 1_000_000
)

// window is what is known of the window of time in which the API accepts a quota of submissions. The zero window is that
// of an API that tells nothing: it holds no submission back. Times are by the clock that the workers share.
type window struct {
	Number    uint64        `json:"number" desc:"grows with each window"`
	Sent      time.Time     `json:"sent" desc:"when the latest submission was sent whose answer counts"`
	End       time.Time     `json:"end" desc:"end of the window, and a little more"` // with windowMargin
	Remaining int           `json:"remaining" desc:"submissions that the API accepts in the window, by its answers"`
	UnderWay  int           `json:"under_way" desc:"submissions that may not have been counted in remaining yet"`
	Acquired  time.Time     `json:"acquired" desc:"when the latest of those under way was acquired"`
	Quota     int           `json:"quota" desc:"submissions that the API accepts in each window; 0: not told"`
	Length    time.Duration `json:"length" desc:"length of a window in nanoseconds; 0: not told"`
	Assumed   bool          `json:"assumed" desc:"whether no answer has told of this window yet"`
}

// known reports whether the API tells anything.
func (w window) known() bool { return !w.End.IsZero() }

// free returns how many submissions may leave.
func (w window) free() int {
	if w.isDoubtful() && w.UnderWay == 0 {
		return 1
	}
	return w.Remaining - w.UnderWay
}

// isDoubtful reports whether the quota is used up although no answer says so. Then one more submission shows whether the
// API still has it: an API that no longer tells anything must not hold submissions back.
func (w window) isDoubtful() bool { return w.Assumed && w.Remaining == 0 }

// current returns the window at a time, or none if it is invalid. After its end, another one is assumed, in which the
// quota remains. Submissions of workers that have died are not under way.
func (w window) current(now time.Time) window {
	w = w.orNone(now)
	if now.Sub(w.Acquired) > longestSubmission {
		w.UnderWay = 0
	}
	switch {
	case !w.known() || now.Before(w.End):
		return w
	case w.Quota == 0:
		return window{Number: w.Number + 1}
	default:
		return window{
			Number: w.Number + 1, Sent: w.Sent, End: now.Add(w.Length + windowMargin),
			Remaining: w.Quota, Quota: w.Quota, Length: w.Length, Assumed: true,
		}
	}
}

// merge returns the window with what an answer tells. Answers arrive out of order: within a window the fewest remaining
// count, and the earliest end that an answer tells, because ends are rounded up. Otherwise the submission that was sent
// last tells which window it is. s.Sent must be by the workers' clock. An answer does not count if that clock has been set
// back since.
func (w window) merge(s task.Starts, now time.Time) window {
	w = w.orNone(now)
	next := w.told(s)
	isOver := !now.Before(next.End)
	switch {
	case next.validate(now) != nil:
		return w
	case w.known() && w.End.Sub(next.End).Abs() <= tolerance(s.Window):
		next.Remaining = min(w.Remaining, s.Remaining)
		if next.End.After(w.End) && !w.Assumed {
			next.End = w.End
		}
		return next
	case w.known() && (isOver || !s.Sent.After(w.Sent)):
		return w // it tells of an earlier window
	default:
		if !w.Assumed { // submissions of a window that was assumed belong to this one
			next.Number, next.UnderWay = w.Number+1, 0
		}
		return next
	}
}

// told returns the window as an answer describes it.
func (w window) told(s task.Starts) window {
	reset := min(s.Reset, cmp.Or(s.Window, lengthIfNotTold))
	w.End, w.Remaining, w.Assumed = s.Sent.Add(reset+windowMargin), s.Remaining, false
	w.Quota, w.Length = s.Quota, s.Window
	if s.Sent.After(w.Sent) {
		w.Sent = s.Sent
	}
	return w
}

// tolerance returns how far the ends of one window may differ: less than those of two short windows.
func tolerance(length time.Duration) time.Duration {
	if length == 0 {
		return sameWindow
	}
	return min(sameWindow, length*2/3)
}

// acquire returns the window with one more submission under way.
func (w window) acquire(now time.Time) window {
	w.UnderWay++
	w.Acquired = now
	return w
}

// release returns the window without a submission of the window of that number. counted reports that the API may have
// accepted it although its answer did not tell how many remain. If it is one more than the quota, the API has none.
func (w window) release(number uint64, counted bool) window {
	switch {
	case !w.known() || w.Number != number:
		return w
	case counted && w.isDoubtful():
		return window{Number: w.Number + 1}
	}
	w.UnderWay = max(0, w.UnderWay-1)
	if counted {
		w.Remaining = max(0, w.Remaining-1)
	}
	return w
}

// orNone returns the window, or none if it is invalid.
func (w window) orNone(now time.Time) window {
	if w.validate(now) != nil {
		return window{Number: w.Number + 1}
	}
	return w
}

// validate returns why no worker can have written the window by a clock that tells now, or nil. A window that ends too
// late would hold submissions back until then, and one of the future would outlast what answers tell.
func (w window) validate(now time.Time) error {
	latest := now.Add(clockMargin)
	switch {
	case w.Remaining < 0 || w.Remaining > mostStarts || w.UnderWay < 0 || w.UnderWay > mostStarts ||
		w.Quota < 0 || w.Quota > mostStarts || w.Length < 0 || w.Length > longestPause:
		return errors.New("a number is out of range")
	case w.Sent.After(latest) || w.Acquired.After(latest):
		return errors.New("it tells of a submission in the future")
	case w.End.After(latest.Add(cmp.Or(w.Length, lengthIfNotTold) + windowMargin)):
		return errors.New("it ends later than a window that begins now")
	default:
		return nil
	}
}
