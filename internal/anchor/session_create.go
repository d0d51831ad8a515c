package anchor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// CreateSession creates a browser session (POST /v1/sessions).
//
// The error is always a *task.SubmitError, whose Kind says what is known as it does for Submit: Refused and NotNow mean that
// there is no session. After Unknown there may be one. It ends after its idle timeout, and FindSessions finds it by its tags.
// A request that the API cannot read is Refused without a call.
func (c *Client) CreateSession(ctx context.Context, request task.SessionRequest) (task.NewSession, error) {
	began := time.Now()
	session, failure := c.createSession(ctx, request)
	c.metrics.sessionCalled("create_session", submitResult(failure), time.Since(began))
	if failure != nil {
		failure.Message = withoutLinks(failure.Message)
		return task.NewSession{}, failure // not a nil pointer in a non-nil error
	}
	return session, nil
}

// createSession does the work of CreateSession without the metrics.
func (c *Client) createSession(ctx context.Context, request task.SessionRequest) (task.NewSession, *task.SubmitError) {
	body, err := request.JSON()
	if err != nil {
		return task.NewSession{}, &task.SubmitError{Kind: task.Refused, Message: err.Error()}
	}
	a, failure := c.post(ctx, sessionsPath, body)
	if failure != nil {
		return task.NewSession{}, failure
	}
	session, err := readNewSession(a.body)
	if err == nil {
		return session, nil
	}
	if a.err != nil {
		err = a.err // the reason why the id is missing
	}
	return task.NewSession{}, &task.SubmitError{Kind: task.Unknown, HTTPStatus: a.status, Message: c.message(err)}
}

// readNewSession reads {"data":{"id":"…","live_view_url":"…"}}. It returns a complete id whatever follows, as
// readWorkflowID does. It does not keep cdp_url, which contains the API key.
func readNewSession(body []byte) (s task.NewSession, err error) {
	d := newDecoder(trimBOM(body))
	err = eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		return eachMember(d, func(name string) error {
			switch strings.ToLower(name) {
			case "id":
				text, err := readString(d)
				if text != "" {
					s.ID = text
				}
				return err
			case "live_view_url":
				link, err := readString(d)
				s.LiveView = task.Secret(link)
				return err
			default:
				return d.SkipValue()
			}
		})
	})
	if s.ID == "" && err != nil {
		return task.NewSession{}, fmt.Errorf("read answer: %w", err)
	}
	if err := checkSessionID(s.ID); err != nil {
		return task.NewSession{}, fmt.Errorf("read answer: %w", err)
	}
	return s, nil
}
