package anchor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task"
)

// FindSessions lists the sessions that have all of these tags (GET /v1/sessions/all/status), or all sessions of the account
// without tags. Whether sessions that have ended are among them, and how soon a new one is, is up to the API.
//
// A session whose tags the API does not name is left out if any tag is asked for: it may belong to somebody else. The error
// is always a *task.SessionError, also if ctx ends. If a part of the list cannot be read, there is an error and no list. A
// tag that a list cannot ask for, because it is empty or has a comma, is an error without a call.
func (c *Client) FindSessions(ctx context.Context, tags ...string) ([]task.Session, error) {
	var found []task.Session
	failure := c.observed("find_sessions", func() *task.SessionError {
		if err := checkTags(tags); err != nil {
			return &task.SessionError{Message: err.Error()}
		}
		target := sessionsPath + "/all/status"
		if len(tags) > 0 {
			target += "?" + url.Values{"tags": {strings.Join(tags, ",")}}.Encode()
		}
		a, failure := c.askSessions(ctx, http.MethodGet, target, maxList)
		if failure != nil {
			return failure
		}
		var err error
		found, err = readSessionList(a.body)
		return c.unreadable(a, err)
	})
	if failure != nil {
		return nil, failure // not a nil pointer in a non-nil error
	}
	return slices.DeleteFunc(found, func(s task.Session) bool { return !hasTags(s, tags) }), nil
}

// checkTags returns an error if a tag cannot be asked for.
func checkTags(tags []string) error {
	for _, tag := range tags {
		if strings.TrimSpace(tag) == "" || strings.Contains(tag, ",") {
			return fmt.Errorf("no list of sessions can ask for the tag %.100q: it must not be empty and must have no comma", tag)
		}
	}
	return nil
}

// hasTags reports whether a session has all of the tags.
func hasTags(s task.Session, tags []string) bool {
	return !slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(s.Tags, tag) })
}

// readSessionList reads {"data":{"items":[{"session_id","status","tags","created_at"}]}}. A null list is an empty one.
func readSessionList(body []byte) (list []task.Session, err error) {
	found := false
	d := newDecoder(trimBOM(body))
	err = eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		return eachMember(d, func(name string) (err error) {
			if !strings.EqualFold(name, "items") {
				return d.SkipValue()
			}
			found = true
			list, err = readSessionItems(d)
			return err
		})
	})
	if err == nil && !found {
		err = errors.New("the answer has no list of sessions")
	}
	return list, err
}

// readSessionItems reads the next value as a list of sessions. Each needs an id and a status.
func readSessionItems(d *jsontext.Decoder) (list []task.Session, err error) {
	switch d.PeekKind() {
	case 'n':
		return nil, d.SkipValue()
	case '[':
	default:
		return nil, errors.New("expected a list of sessions")
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	for d.PeekKind() != ']' {
		s, err := readSessionObject(d)
		if err != nil {
			return nil, err
		}
		if s.ID == "" || s.Status == "" {
			return nil, errors.New("a session in the list has no id or no status")
		}
		list = append(list, s)
	}
	_, err = d.ReadToken()
	return list, err
}
