package anchor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
		return "", &task.SubmitError{Outcome: task.Unknown, Message: bounded(err.Error())}
	case err != nil:
		return "", &task.SubmitError{Outcome: task.NotNow, Reason: task.Unreachable, Message: bounded(err.Error())}
	case !a.ok():
		return "", notAccepted(a)
	}
	id, err := readWorkflowID(a)
	if err != nil {
		return "", &task.SubmitError{Outcome: task.Unknown, HTTPStatus: a.status, Message: bounded(err.Error())}
	}
	return id, nil
}

// readWorkflowID reads {"data":{"status":"running","workflow_id":"…"}}.
func readWorkflowID(a answer) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	var body struct {
		Data struct {
			WorkflowID string `json:"workflow_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	id := body.Data.WorkflowID
	if err := checkWorkflowID(id); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return id, nil
}
