package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// readSession takes what the browser session is created with. It checks the members to which Capstan adds something of its
// own, and leaves the others to the API. No violation quotes a value: a proxy's password may stand there.
func (r *Request) readSession(value json.RawMessage) error {
	if err := mustBe("an object", value); err != nil {
		return err
	}
	for m := range eachMember(value) {
		var err error
		switch m.name {
		case "tags":
			err = checkTags(m.value)
		case "timeout", "live_view":
			err = mustBe("an object", m.value)
		}
		if err != nil {
			return inField("."+m.name, err)
		}
	}
	r.Session = bytes.Clone(value)
	return nil
}

// checkTags accepts a list of strings. What they say is up to the API.
func checkTags(value json.RawMessage) error {
	all, err := elements(value, maxTags)
	if err != nil {
		return err
	}
	for i, tag := range all {
		if err := mustBe("a string", tag); err != nil {
			return inField(fmt.Sprintf(".%d", i), err)
		}
	}
	return nil
}

// readBrowser takes what the browser of the session is created with. What it says is up to the API.
func (r *Request) readBrowser(value json.RawMessage) error {
	r.Browser = bytes.Clone(value)
	return mustBe("an object", value)
}

// checkSession refuses a session to create, and a fence, beside a session that exists: Capstan does not end that one. If
// fence is only the worker's default, such a task has the choice that does the same without a session to end.
func (r *Request) checkSession(all []member) error {
	const beside = "must not stand beside sessionId, which names a session that exists"
	switch {
	case r.SessionID == "":
		return nil
	case r.Session != nil:
		return &violation{field: "session", rule: beside}
	case r.Browser != nil:
		return &violation{field: "browser", rule: beside}
	case r.OnUnknown == Fence && valueOf(all, onUnknownField) != nil:
		return &violation{field: onUnknownField, rule: `must not be "fence" beside sessionId: only a session of the task's own can be ended`}
	case r.OnUnknown == Fence:
		r.OnUnknown = Fail
	}
	return nil
}

// NeedsSession returns the field that only a worker with SESSIONS=on can heed, or "" if there is none.
func (r *Request) NeedsSession() string {
	switch {
	case r.Session != nil:
		return "session"
	case r.Browser != nil:
		return "browser"
	case r.OnUnknown == Fence:
		return onUnknownField
	default:
		return ""
	}
}

// TagOfAll is on every session that Capstan creates.
const TagOfAll = "capstan"

// SessionTag is on every session that Capstan creates for a task.
func SessionTag(taskID string) string { return "capstan-task:" + taskID }

// NewSession returns the session in which the task is to run. Its tags name the task and its batch.
func (r *Request) NewSession() SessionRequest {
	tags := []string{TagOfAll, SessionTag(r.TaskID)}
	if r.Batch != "" {
		tags = append(tags, "capstan-batch:"+r.Batch)
	}
	return SessionRequest{
		Tags: tags, MaxDuration: r.Timeout + idleTimeout + sessionMargin, IdleTimeout: idleTimeout,
		Session: r.Session, Browser: r.Browser,
	}
}

const (
	// maxTags is how many tags of its own a session can have.
	maxTags = 100

	// idleTimeout is after which time without use the API ends a session that nobody knows of any more.
	idleTimeout = 5 * time.Minute

	// sessionMargin is how much longer than the task and the wait before it a session may last.
	sessionMargin = time.Minute
)
