package app

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/tracing"
)

const (
	// maxPending is how many messages a consumer can have out without redelivering a dead worker's too late.
	maxPending = 100_000

	// maxHeld lets one worker have all of them, beside the tenth of its slots that is not for new tasks.
	maxHeld = 120_000
)

// Validate returns a line for each mistake: the variable, what it holds, and what would do. It looks
// whether the files that are named can be read.
func (c Config) Validate() []string {
	return slices.Concat(c.Anchor.Validate(), c.NATS.Validate(), unmet(c.demands()), tracing.Validate())
}

// unmet returns a line for each demand that is not kept.
func unmet(demands []demand) []string {
	var mistakes []string
	for _, d := range demands {
		if !d.ok {
			mistakes = append(mistakes, mistake(d.variable, d.holds, d.want))
		}
	}
	return mistakes
}

// mistake is a line of LoadConfig's error. A secret as holds prints as [redacted].
func mistake(variable string, holds any, want string) string {
	return fmt.Sprintf("%s is %.100q: %s", variable, fmt.Sprint(holds), want)
}

// demand is what a variable has to keep.
type demand struct {
	variable string
	holds    any
	ok       bool
	want     string // what would do
}

// demands lists all but those of anchor and NATS, whose packages know their own.
func (c Config) demands() []demand {
	return slices.Concat(c.nameDemands(), c.workDemands(), c.operatorDemands())
}

func (c Config) nameDemands() []demand {
	const name = "a name without spaces, dots, slashes and wildcards"
	const subject = "a subject without spaces and wildcards"
	const bucket = "letters, digits, _ and - only"
	return []demand{
		{"REQUEST_STREAM", c.Request.Stream, streams.IsName(c.Request.Stream), name},
		{"REQUEST_SUBJECT", c.Request.Subject, streams.IsSubject(c.Request.Subject), subject},
		{"RESULT_STREAM", c.Result.Stream, streams.IsName(c.Result.Stream), name},
		{"RESULT_STREAM", c.Result.Stream, c.Result.Stream != c.Request.Stream, "another one than REQUEST_STREAM"},
		{"RESULT_SUBJECT", c.Result.Subject, streams.IsSubject(c.Result.Subject), subject},
		{"RESULT_SUBJECT", c.Result.Subject, c.Result.Subject != c.Request.Subject, "another one than REQUEST_SUBJECT"},
		{"RESULT_BUCKET", c.Result.Bucket, isBucket(c.Result.Bucket), bucket},
		{"DEAD_STREAM", c.Dead.Stream, streams.IsName(c.Dead.Stream), name},
		{"DEAD_STREAM", c.Dead.Stream, c.Dead.Stream != c.Request.Stream && c.Dead.Stream != c.Result.Stream, "another one than REQUEST_STREAM and RESULT_STREAM"},
		{"DEAD_SUBJECT", c.Dead.Subject, streams.IsSubject(c.Dead.Subject), subject},
		{"DEAD_SUBJECT", c.Dead.Subject, c.Dead.Subject != c.Request.Subject && c.Dead.Subject != c.Result.Subject, "another one than REQUEST_SUBJECT and RESULT_SUBJECT"},
		{"TRACKER_BUCKET", c.Tracker.Bucket, isBucket(c.Tracker.Bucket), bucket},
		{"CONSUMER", c.Consumer, streams.IsName(c.Consumer), name},
	}
}

func (c Config) workDemands() []demand {
	upTo := func(most int) string { return fmt.Sprintf("a whole number from 1 to %d", most) }
	shortestDrain := c.Anchor.RequestTimeout + time.Second
	return []demand{
		{"TRACKER_TTL", c.Tracker.TTL, c.Tracker.TTL >= 10*c.AckWait, `ten times ACK_WAIT or more, such as "168h": a request that comes again has to find its record`},
		{"MAX_IN_FLIGHT", c.MaxInFlight, isBetween(c.MaxInFlight, maxHeld), upTo(maxHeld)},
		{"MAX_IN_FLIGHT_TOTAL", c.MaxInFlightTotal, isBetween(c.MaxInFlightTotal, maxPending), upTo(maxPending)},
		{"ACK_WAIT", c.AckWait, c.AckWait >= time.Second, `a duration of 1s or more, such as "60s"`},
		{"SUBMIT_CONCURRENCY", c.Submit.Concurrency, isBetween(c.Submit.Concurrency, maxPending), upTo(maxPending)},
		{"TASK_TIMEOUT", c.Task.Timeout, c.Task.Timeout > 0, `a duration above 0, such as "1h"`},
		{"ON_UNKNOWN_SUBMISSION", c.OnUnknownSubmission, isOneOf(c.OnUnknownSubmission, "fail", "resubmit"), "fail or resubmit"},
		{"POLL_INTERVAL", c.Poll.Interval, c.Poll.Interval >= time.Millisecond, `a duration of 1ms or more, such as "2s"`},
		{"POLL_MAX_INTERVAL", c.Poll.MaxInterval, c.Poll.MaxInterval >= c.Poll.Interval, fmt.Sprintf("a duration no shorter than POLL_INTERVAL, %v", c.Poll.Interval)},
		{"DRAIN_TIMEOUT", c.Drain.Timeout, c.Drain.Timeout >= shortestDrain, fmt.Sprintf("a duration of ANCHORBROWSER_REQUEST_TIMEOUT and a second or more, %v", shortestDrain)},
	}
}

func (c Config) operatorDemands() []demand {
	return []demand{
		{"ADMIN_ADDR", c.Admin.Addr, isAddress(c.Admin.Addr), `host:port or :port, such as "127.0.0.1:8080"`},
		{"ADMIN_TOKEN", c.Admin.Token, isBearer(string(c.Admin.Token)), "printable ASCII without spaces or line ends"},
		{"LOG_LEVEL", c.Log.Level, isOneOf(c.Log.Level, "trace", "debug", "info", "warn", "error"), "trace, debug, info, warn or error"},
		{"LOG_FORMAT", c.Log.Format, isOneOf(c.Log.Format, "json", "console"), "json or console"},
		{"WORKER_NAME", c.Worker.Name, isPrintable(c.Worker.Name), "a name of printable characters, not blank"},
	}
}

func isBucket(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("_-", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isBearer(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII })
}

func isPrintable(s string) bool {
	return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func isBetween(n, most int) bool { return n >= 1 && n <= most }

func isOneOf(s string, allowed ...string) bool { return slices.Contains(allowed, s) }
