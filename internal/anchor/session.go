package anchor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/capstan-worker/capstan/internal/task"
)

// sessionsPath is the path of the creation of a session, and the beginning of the paths about one.
const sessionsPath = "/v1/sessions"

// maxSessionID bounds a session id in bytes. The documented ones are UUIDs.
const maxSessionID = 256

// Session asks for the state of a browser session, its steps and its cost (GET /v1/sessions/{id}).
//
// The error is always a *task.SessionError, also if ctx ends. A session id that is not safe in a path is an error without
// a call.
func (c *Client) Session(ctx context.Context, id string) (task.Session, error) {
	var session task.Session
	failure := c.observed("get_session", func() *task.SessionError {
		a, failure := c.callSession(ctx, http.MethodGet, id)
		if failure != nil {
			return failure
		}
		var err error
		if session, err = readSession(a.body); err == nil && session.ID != id && session.ID != "" {
			err = errors.New("the answer is about another session")
		}
		return c.unreadable(a, err)
	})
	if failure != nil {
		return task.Session{}, failure // not a nil pointer in a non-nil error
	}
	session.ID = id
	return session, nil
}

// EndSession ends a browser session and whatever runs in it (DELETE /v1/sessions/{id}). Without an error the API has
// confirmed the end; Session says when the browser has gone. The call may be repeated.
//
// The error is always a *task.SessionError, also if ctx ends. Its Unknown is set if the session may have ended nevertheless.
// A session id that is not safe in a path is an error without a call: DELETE /v1/sessions/all would end every session of
// the account.
func (c *Client) EndSession(ctx context.Context, id string) error {
	failure := c.observed("end_session", func() *task.SessionError {
		a, failure := c.callSession(ctx, http.MethodDelete, id)
		if failure != nil {
			return failure
		}
		failure = c.unreadable(a, readEnd(a))
		if failure != nil {
			failure.Unknown = true
		}
		return failure
	})
	if failure != nil {
		return failure
	}
	return nil
}

// callSession makes a call about one session. Without an error, the answer is a success, whose body may be incomplete.
func (c *Client) callSession(ctx context.Context, method, id string) (answer, *task.SessionError) {
	if err := checkSessionID(id); err != nil {
		return answer{}, &task.SessionError{Message: err.Error()}
	}
	return c.askSessions(ctx, method, sessionsPath+"/"+url.PathEscape(id), maxSmall)
}

// askSessions makes a call about sessions. Without an error, the answer is a success. It reads at most limit bytes.
func (c *Client) askSessions(ctx context.Context, method, target string, limit int64) (answer, *task.SessionError) {
	ctx, sent := watchSending(ctx)
	a, err := c.call(ctx, method, target, nil, limit)
	isEnd := method == http.MethodDelete
	switch {
	case err != nil && !sent.mayHaveLeft():
		return a, &task.SessionError{Reason: task.Unreachable, Message: withoutLinks(c.message(err))}
	case err != nil:
		return a, &task.SessionError{Unknown: isEnd, Message: withoutLinks(c.message(err))}
	case !a.isSuccess():
		submission := a.submitError() // the same answers leave it open whether the call had an effect
		return a, &task.SessionError{
			HTTPStatus: a.status, Reason: submission.Reason, RetryAfter: submission.RetryAfter, OwnForm: a.fromAPI(),
			Unknown: isEnd && submission.Kind == task.Unknown, Message: withoutLinks(submission.Message),
		}
	}
	return a, nil
}

// unreadable returns the error of a success that could not be read because of err, or nil without an err. If the body is
// incomplete, that is the reason.
func (c *Client) unreadable(a answer, err error) *task.SessionError {
	switch {
	case err == nil && a.err == nil:
		return nil
	case a.err != nil:
		err = a.err
	default:
		err = fmt.Errorf("read answer: %w", err)
	}
	return &task.SessionError{HTTPStatus: a.status, Message: withoutLinks(c.message(err))}
}

// checkSessionID accepts the characters that RFC 3986, section 2.3, does not reserve, and the colon. Proxies and servers
// read no other meaning into them.
func checkSessionID(id string) error {
	isUnsafe := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("-._~:", r)
	}
	switch {
	case id == "":
		return errors.New("the session id is empty")
	case len(id) > maxSessionID:
		return fmt.Errorf("the session id has %d bytes, at most %d are allowed", len(id), maxSessionID)
	case id == "." || id == ".." || strings.EqualFold(id, "all"):
		return fmt.Errorf("the session id is %q, which would name something else in a path", id)
	case strings.ContainsFunc(id, isUnsafe):
		return errors.New("the session id must have only the characters -._~: and letters and digits")
	}
	return nil
}
