package streams

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

const (
	// unansweredLimit is for how long the last answer about the streams counts if no other comes. The election of a
	// leader takes seconds, and means nothing for the streams.
	unansweredLimit = time.Minute

	// refusedPullsLimit is how many pulls in a row may be refused while the worker is ready.
	refusedPullsLimit = 4
)

// errNoAnswer is returned by a check that found nothing wrong, and got no answer about a part of the streams.
var errNoAnswer = errors.New("no answer about the streams")

// readiness is what the last checks and pulls found. A check is answered if it found a problem, or got all
// answers. Binding.mu guards it.
type readiness struct {
	isAnswered      bool      // by at least one check
	problems        string    // of the last check that was answered
	warnings        string    // of the same
	unansweredSince time.Time // zero if the last check was answered
	unanswered      string    // why it was not
	refusedPulls    int       // in a row
	refusal         string    // of the last of them
}

// judge takes the reports of a check, and returns nil if a worker can use the streams. A check that found
// nothing wrong, but got no answer about a part of the streams, returns errNoAnswer and does not replace
// the last result.
func (r *readiness) judge(reports []*Report, log zerolog.Logger) error {
	var problems, warnings, unanswered []string
	for _, report := range reports {
		for _, p := range report.Problems {
			text := report.Resource + ": " + p.Text
			switch {
			case p.Unanswered:
				unanswered = append(unanswered, text)
			case p.Warning:
				warnings = append(warnings, text)
			default:
				problems = append(problems, text)
			}
		}
	}
	if len(problems) == 0 && len(unanswered) > 0 {
		if r.unansweredSince.IsZero() {
			r.unansweredSince = time.Now()
		}
		r.unanswered = strings.Join(unanswered, "; ")
		return fmt.Errorf("%w: %s", errNoAnswer, r.unanswered)
	}
	r.answered(strings.Join(append(problems, unanswered...), "; "), strings.Join(warnings, "; "), log)
	if r.problems != "" {
		return errors.New(r.problems)
	}
	return nil
}

// answered takes the result of a check that was answered. It logs problems and warnings only when they
// change, since the check is repeated twice a minute. Empty texts mean that there are none.
func (r *readiness) answered(problems, warnings string, log zerolog.Logger) {
	if problems != "" && problems != r.problems {
		log.Error().Str("error", problems).Msg("streams missing or misconfigured, retrying")
	}
	if warnings != "" && warnings != r.warnings {
		log.Warn().Str("warning", warnings).Msg("streams usable, with warnings")
	}
	r.isAnswered, r.unansweredSince, r.unanswered = true, time.Time{}, ""
	r.problems, r.warnings = problems, warnings
}

// Ready is a readiness check: whether the streams can be used, and what is wrong with them. It asks NATS nothing, so that
// a probe is answered at once.
func (b *Binding) Ready() (ok bool, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.readiness
	switch silent := time.Since(r.unansweredSince); {
	case !r.isAnswered && r.unanswered != "":
		return false, "no answer yet: " + r.unanswered
	case !r.isAnswered:
		return false, "not checked yet"
	case r.problems != "":
		return false, r.problems
	case !r.unansweredSince.IsZero() && silent > unansweredLimit:
		return false, fmt.Sprintf("no answer for %v: %s", silent.Round(time.Second), r.unanswered)
	case r.refusedPulls > refusedPullsLimit:
		return false, fmt.Sprintf("%d pulls in a row were refused: %s", r.refusedPulls, r.refusal)
	case r.warnings != "":
		return true, "bound, with warnings: " + r.warnings
	default:
		return true, "bound"
	}
}

// PullRefused notes that the server refused a pull. After five in a row the worker is not ready, until PullOK. A lost
// connection is not a refusal.
func (b *Binding) PullRefused(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readiness.refusedPulls++
	b.readiness.refusal = err.Error()
}

// PullOK notes that a pull was answered, with requests or without: the consumer exists and accepts pulls.
func (b *Binding) PullOK() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readiness.refusedPulls = 0
}
