package task

import "time"

// Starts is what an answer to a submission says about the rate at which the API accepts submissions: in each window of
// time it accepts a quota of them.
type Starts struct {
	Sent      time.Time     // when the submission left, by this machine's clock
	Remaining int           // submissions that the API accepts before the window ends
	Reset     time.Duration // from Sent to the window's end
	Quota     int           // submissions that the API accepts in a window; 0: not told
	Window    time.Duration // length of a window; 0: not told
}
