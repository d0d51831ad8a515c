package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// session is one that the probe has created.
type session struct {
	id      string
	deleted time.Time // when the API confirmed the call that ended it; zero before
	gone    bool      // the API has said that it has ended
}

// create creates a session, and reports how. It returns nil if there is none to work with. The call is not cut off when ctx
// ends: without its answer there would be a session that cannot be ended.
func (r *run) create(ctx context.Context) *session {
	if ctx.Err() != nil {
		return nil
	}
	began := time.Now()
	r.starts = nil
	made, err := r.client.CreateSession(context.WithoutCancel(ctx), task.SessionRequest{
		Tags: []string{"capstan-probe", r.tag}, MaxDuration: MaxDuration, IdleTimeout: idleTimeout,
	})
	took := time.Since(began)
	if failure, ok := errors.AsType[*task.SubmitError](err); ok {
		r.lost = failure.Kind == task.Unknown
		f := Finding{Fact: factCreate, Verdict: Unknown, Seen: "not created: " + shorten(failure.Error()), Took: took}
		if failure.Kind == task.Refused {
			f.Verdict = Bad
		}
		r.add(ctx, f)
		return nil
	}
	s := &session{id: made.ID}
	r.sessions = append(r.sessions, s)
	r.add(ctx, Finding{Fact: factCreate, Verdict: Fine, Seen: "created in " + rounded(took).String(), Took: took})
	return s
}

// end ends a session, and reports under a name how long it takes until the API says that it has ended.
func (r *run) end(ctx context.Context, fact string, s *session) {
	began := time.Now()
	var state string
	var last error
	ended := r.until(ctx, r.waits.End, func() bool {
		state, last = r.tryEnd(ctx, s)
		return s.gone
	})
	took := time.Since(began)
	f := Finding{Fact: fact, Verdict: Fine, Took: took}
	switch {
	case ended:
		f.Seen = fmt.Sprintf("ended after %v", rounded(took))
	case s.deleted.IsZero():
		f.Verdict, f.Seen = Bad, fmt.Sprintf("the API did not confirm the end within %v: %s", r.waits.End, answered(last))
	case state == "":
		f.Verdict, f.Seen = Unknown, fmt.Sprintf("the API confirmed the end, but did not report the session within %v: %s", r.waits.End, answered(last))
	default:
		f.Verdict, f.Seen = Bad, fmt.Sprintf("the API confirmed the end, but the session is still %s after %v", word(state), r.waits.End)
	}
	r.add(ctx, f)
}

// tryEnd asks for the end of a session until the API has confirmed it, and looks whether it has ended. It returns the state
// of the session if the API reported one, and else the error.
func (r *run) tryEnd(ctx context.Context, s *session) (state string, err error) {
	if s.deleted.IsZero() {
		err = r.client.EndSession(ctx, s.id)
		if err == nil {
			s.deleted = time.Now()
		}
	}
	report, lookErr := r.client.Session(ctx, s.id)
	if failure, ok := errors.AsType[*task.SessionError](lookErr); ok {
		s.gone = failure.UnknownSession()
		return "", errors.Join(err, lookErr)
	}
	s.gone = report.Ended()
	return report.Status, err
}

// endAll ends the sessions that are not known to have ended, whether or not ctx has ended, and reports whether it could.
func (r *run) endAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.waits.List+r.waits.End+r.client.Timeout())
	defer cancel()
	lostOne := r.lost && !r.findLost(ctx)
	if len(r.sessions) == 0 && !r.lost {
		return
	}
	var open []string
	for _, s := range r.sessions {
		if !r.endAtLast(ctx, s) {
			open = append(open, s.id)
		}
	}
	f := Finding{Fact: factCleanUp, Verdict: Fine, Seen: fmt.Sprintf("the API confirmed the end of all sessions of this probe (%d)", len(r.sessions))}
	own := fmt.Sprintf("It ends by itself after at most %v; Anchor's dashboard shows it by its tag capstan-probe", MaxDuration)
	switch {
	case len(open) > 0:
		f.Verdict, f.Seen = Bad, fmt.Sprintf("the API did not end the session %s. %s", strings.Join(open, " and the session "), own)
	case lostOne:
		f.Verdict, f.Seen = Unknown, "a session may be open whose id the API did not send. "+own
	}
	r.add(context.WithoutCancel(ctx), f)
}

// endAtLast ends a session, and reports whether the API has confirmed its end.
func (r *run) endAtLast(ctx context.Context, s *session) bool {
	return s.gone || r.until(ctx, r.waits.End, func() bool {
		_, _ = r.tryEnd(ctx, s) // asked again until it is confirmed
		return s.gone || !s.deleted.IsZero()
	})
}

// findLost adds a session whose id did not arrive, and reports whether it found one.
func (r *run) findLost(ctx context.Context) bool {
	return r.until(ctx, r.waits.List, func() bool {
		listed, _ := r.client.FindSessions(ctx, r.tag) // asked again until it is found
		found := false
		for _, l := range listed {
			if !slices.ContainsFunc(r.sessions, func(s *session) bool { return s.id == l.ID }) {
				r.sessions = append(r.sessions, &session{id: l.ID, gone: l.Ended()})
				found = true
			}
		}
		return found
	})
}
