package anchor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Status asks how far a workflow is. The error is always a *task.StatusError, also when ctx ends, and
// then nothing is known of the workflow. It reads at most that many bytes of a successful answer. An id that cannot stand in a URL is an error without a call.
func (c *Client) Status(ctx context.Context, workflowID string, most int64) (task.Workflow, error) {
	began := time.Now()
	workflow, failure := c.status(ctx, workflowID, most)
	c.metrics.polled(workflow, failure, time.Since(began))
	if failure != nil {
		return task.Workflow{}, failure
	}
	return workflow, nil
}

func (c *Client) status(ctx context.Context, workflowID string, most int64) (task.Workflow, *task.StatusError) {
	if err := checkWorkflowID(workflowID); err != nil {
		return task.Workflow{}, &task.StatusError{Message: err.Error()}
	}
	target := webTask + "/" + url.PathEscape(workflowID) + "/status"
	a, err := c.call(ctx, http.MethodGet, target, nil, min(most, MaxAnswer))
	if err != nil {
		return task.Workflow{}, &task.StatusError{Message: bounded(err.Error())}
	}
	if !a.ok() {
		return task.Workflow{}, &task.StatusError{
			HTTPStatus: a.status, RetryAfter: askedWait(a.header), Message: a.text(),
		}
	}
	workflow, err := readWorkflow(a)
	if err != nil {
		failure := &task.StatusError{HTTPStatus: a.status, Message: bounded(err.Error())}
		if errors.Is(err, errTooLarge) {
			failure.TooLarge, failure.Size = true, a.size
		}
		return task.Workflow{}, failure
	}
	return workflow, nil
}

// readWorkflow reads {"data":{"status":"…","result":…,"error":…}}. Only the status must be there; the
// others may be missing or null. A null result is none.
func readWorkflow(a answer) (task.Workflow, error) {
	if a.err != nil {
		return task.Workflow{}, a.err
	}
	var body struct {
		Data struct {
			Status string
			Result json.RawMessage
			Error  json.RawMessage
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return task.Workflow{}, fmt.Errorf("read answer: %w", err)
	}
	data := body.Data
	if data.Status == "" {
		return task.Workflow{}, errors.New("read answer: it has no status")
	}
	workflow := task.Workflow{Status: data.Status}
	if string(data.Result) != "null" {
		workflow.Result = data.Result
	}
	if len(data.Error) > 0 {
		workflow.Error = bounded(errorText(data.Error, 2))
	}
	return workflow, nil
}

// checkWorkflowID says why an id cannot be asked after. A path is cleaned of its dots on the way.
func checkWorkflowID(id string) error {
	switch {
	case id == "":
		return errors.New("there is no workflow id")
	case id == "." || id == "..":
		return fmt.Errorf("the workflow id is %q", id)
	case len(id) > maxWorkflowID:
		return fmt.Errorf("the workflow id has %d bytes", len(id))
	}
	return nil
}
