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

// maxWorkflowID bounds a workflow id in bytes. The documented ones have 101.
const maxWorkflowID = 1 << 10

// Submit asks the API to run the task in body, which is JSON with "async": true, and returns the id of its workflow.
// If sessionID is not empty, the task runs in that browser session.
//
// The error is always a *task.SubmitError, also if ctx ends or the call exceeds the timeout. Its Kind is then
// task.Unknown if any part of the request may have left, and task.NotNow otherwise.
func (c *Client) Submit(ctx context.Context, sessionID string, body []byte) (workflowID string, err error) {
	began := time.Now()
	workflowID, failure := c.submit(ctx, sessionID, body)
	c.metrics.submitted(failure, time.Since(began))
	if failure != nil {
		return "", failure // not a nil pointer in a non-nil error
	}
	return workflowID, nil
}

// submit does the work of Submit without the metrics. A success without a workflow id is never a refusal:
// the workflow may run, so the outcome is unknown.
func (c *Client) submit(ctx context.Context, sessionID string, body []byte) (string, *task.SubmitError) {
	target := webTask
	if sessionID != "" {
		target += "?" + url.Values{"sessionId": {sessionID}}.Encode()
	}
	a, failure := c.post(ctx, target, body)
	if failure != nil {
		return "", failure
	}
	id, err := readWorkflowID(a.body)
	if err == nil {
		return id, nil
	}
	if a.err != nil {
		err = a.err // the reason why the id is missing
	}
	return "", &task.SubmitError{Kind: task.Unknown, HTTPStatus: a.status, Message: c.message(err)}
}

// post sends a POST that must not be sent twice, and reports what its answer says of the rate. Without an error, the answer
// is a success, whose body may be incomplete.
func (c *Client) post(ctx context.Context, target string, body []byte) (answer, *task.SubmitError) {
	ctx, sent := watchSending(ctx)
	a, err := c.call(ctx, http.MethodPost, target, body, maxSmall)
	if starts, ok := startsOf(a.header, sent.began); ok {
		c.noteStarts(starts)
	}
	switch {
	case err != nil && sent.mayHaveLeft():
		return a, &task.SubmitError{Kind: task.Unknown, Message: c.message(err)}
	case err != nil:
		return a, &task.SubmitError{Kind: task.NotNow, Reason: task.Unreachable, Message: c.message(err)}
	case !a.isSuccess():
		return a, a.submitError()
	}
	return a, nil
}

// readWorkflowID reads {"data":{"status":"running","workflow_id":"…"}}. A workflow whose id is lost cannot be found
// again, so it returns a complete id whatever follows: a comment, a second value, or the end of a truncated answer.
func readWorkflowID(body []byte) (string, error) {
	var id string
	d := newDecoder(trimBOM(body))
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
