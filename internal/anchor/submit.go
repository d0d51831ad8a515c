package anchor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// maxWorkflowID bounds an id in bytes. The documented ones have 101.
const maxWorkflowID = 1 << 10

// Submit asks the API to run the task that body describes (JSON, with async set) and returns the id of
// its workflow. Where sessionID is not empty, the task runs in that browser session.
//
// The error is always a *task.SubmitError, also when ctx ends or the call takes longer than the
// configured timeout: its Outcome is then task.Unknown once any part of the request may have left, and
// task.NotNow before.
func (c *Client) Submit(ctx context.Context, sessionID string, body []byte) (workflowID string, err error) {
	began := time.Now()
	workflowID, refusal := c.submit(ctx, sessionID, body)
	c.metrics.submitted(refusal, time.Since(began))
	if refusal != nil {
		return "", refusal
	}
	return workflowID, nil
}

func (c *Client) submit(ctx context.Context, sessionID string, body []byte) (string, *task.SubmitError) {
	target := webTask
	if sessionID != "" {
		target += "?" + url.Values{"sessionId": {sessionID}}.Encode()
	}
	ctx, sent := watchSending(ctx)
	a, err := c.call(ctx, http.MethodPost, target, body, maxAnswer)
	switch {
	case err != nil && sent.possible():
		return "", &task.SubmitError{Kind: task.Unknown, Message: c.words(err)}
	case err != nil:
		return "", &task.SubmitError{Kind: task.NotNow, Reason: task.Unreachable, Message: c.words(err)}
	case !a.ok():
		return "", notAccepted(a)
	}
	id, err := readWorkflowID(a.body)
	if err == nil {
		return id, nil
	}
	if a.err != nil {
		err = a.err
	}
	return "", &task.SubmitError{Kind: task.Unknown, HTTPStatus: a.status, Message: c.words(err)}
}

// readWorkflowID reads {"data":{"status":"running","workflow_id":"…"}}. A lost id is a lost workflow, so a complete id
// is returned whatever follows it: a comment, or nothing, because the answer was cut off.
func readWorkflowID(body []byte) (string, error) {
	var id string
	d := newDecoder(withoutBOM(body))
	err := eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		return eachMember(d, func(name string) error {
			if !strings.EqualFold(name, "workflow_id") {
				return d.SkipValue()
			}
			text, err := readString(d)
			if text != "" {
				id = text
			}
			return err
		})
	})
	if id == "" && err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	if err := checkWorkflowID(id); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return id, nil
}
