package task

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// NewSession is a browser session that the API has just created.
type NewSession struct {
	ID       string
	LiveView Secret // a link that shows the browser and may control it; empty if the API gave none
}

// Session is what the API reports of a browser session.
type Session struct {
	ID      string
	Status  string    // as the API spells it
	Steps   *int      // that agents have taken in it; nil if the API does not say
	Credits *float64  // that it has used; nil if the API does not say
	Tags    []string  // that it was created with
	Created time.Time // zero if the API does not say
}

// Ended reports whether the browser of the session has gone. The API documents no list of states: a state that is not
// known counts as open.
func (s Session) Ended() bool {
	switch strings.ToLower(s.Status) {
	case "completed", "ended", "stopped", "closed", "terminated", "finished", "failed", "expired", "deleted",
		"timeout", "timed_out", "canceled", "cancelled":
		return true
	default:
		return false
	}
}

// SessionEnd is what is known of a session that Capstan has ended.
type SessionEnd struct {
	Confirmed bool     // the API confirmed the end
	Why       string   // why it is not confirmed, else "". It may quote the API
	Steps     *int     // of the agent; nil if the API does not say
	Credits   *float64 // that it used; nil if the API does not say
	Final     bool     // the browser has gone, and the figures were the same some time later
}

// NeverActed reports whether it is certain that no agent took a step in the session, and that none will.
func (e SessionEnd) NeverActed() bool {
	return e.Confirmed && e.Final && e.Steps != nil && *e.Steps == 0
}

// String says for people whether the session has ended.
func (e SessionEnd) String() string {
	switch {
	case !e.Confirmed:
		return "its browser session could not be ended and ends by itself: " + e.Why
	case e.Steps == nil:
		return "its browser session was ended"
	case *e.Steps == 0:
		return "its browser session was ended, and the agent had taken no step in it"
	case *e.Steps == 1:
		return "its browser session was ended, and the agent had taken 1 step in it"
	default:
		return fmt.Sprintf("its browser session was ended, and the agent had taken %d steps in it", *e.Steps)
	}
}

// SessionError is why a call about a session failed, except for its creation, whose error is a SubmitError.
type SessionError struct {
	HTTPStatus int           // 0 if no answer came
	Reason     Reason        // why the API answers no call now, else ""
	RetryAfter time.Duration // the wait that the API asked for; 0 if it did not
	OwnForm    bool          // the answer is an error in the API's own form, not a gateway's page
	Unknown    bool          // of a call that ends a session: it may have ended the session nevertheless
	Message    string        // of the API or the network. It may quote the request: not for logs
}

// Error returns the message, after the HTTP status if there is one.
func (e *SessionError) Error() string { return withHTTPStatus(e.HTTPStatus, e.Message) }

// UnknownSession reports whether the API itself answered that it does not know the session. To a call that ends a session,
// the API documents 401 for this, which is also the answer to a wrong key: only asking for the session tells them apart.
func (e *SessionError) UnknownSession() bool {
	return e.OwnForm && (e.HTTPStatus == http.StatusNotFound || e.HTTPStatus == http.StatusGone)
}
