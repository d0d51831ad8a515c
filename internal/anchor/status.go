package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task"
)

// Status asks for the state of a workflow. It reads at most limit bytes of the answer, and never more than MaxAnswer.
//
// The error is always a *task.StatusError, also if ctx ends. If the answer is larger than limit, TooLarge is set, and
// Size is its size if it is known, else -1. A workflow id that cannot be part of a URL is an error without a call.
func (c *Client) Status(ctx context.Context, workflowID string, limit int64) (task.Workflow, error) {
	began := time.Now()
	workflow, failure := c.status(ctx, workflowID, min(max(limit, 0), MaxAnswer))
	c.metrics.polled(workflow, failure, time.Since(began))
	if failure != nil {
		return task.Workflow{}, failure // not a nil pointer in a non-nil error
	}
	return workflow, nil
}

// status does the work of Status without the metrics. limit is from 0 to MaxAnswer.
func (c *Client) status(ctx context.Context, workflowID string, limit int64) (task.Workflow, *task.StatusError) {
	if err := checkWorkflowID(workflowID); err != nil {
		return task.Workflow{}, &task.StatusError{Message: err.Error()}
	}
	target := webTask + "/" + url.PathEscape(workflowID) + "/status"
	a, err := c.call(ctx, http.MethodGet, target, nil, limit)
	switch {
	case err != nil:
		return task.Workflow{}, &task.StatusError{Message: c.message(err)}
	case !a.isSuccess():
		return task.Workflow{}, &task.StatusError{
			HTTPStatus: a.status, Reason: a.notNowReason(), RetryAfter: requestedWait(a.header), OwnForm: a.fromAPI(), Message: a.message(),
		}
	case errors.Is(a.err, errTooLarge):
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, TooLarge: true, Size: a.size, Message: a.err.Error()}
	case a.err != nil:
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, Message: c.message(a.err)}
	}
	workflow, err := readWorkflow(a.body)
	if err != nil {
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, Message: c.message(fmt.Errorf("read answer: %w", err))}
	}
	return workflow, nil
}

// readWorkflow reads {"data":{"status":"…","result":…,"error":…}}. Only status is required; the others may be missing or
// null, and a null result counts as missing. It ignores what follows the JSON.
//
// The result is a part of body, so that a large one is in memory only once.
func readWorkflow(body []byte) (w task.Workflow, err error) {
	body = trimBOM(body)
	d := newDecoder(body)
	err = eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		w = task.Workflow{} // of several data, the last one counts
		return eachMember(d, func(name string) error { return readWorkflowMember(d, body, strings.ToLower(name), &w) })
	})
	if err == nil && w.Status == "" {
		err = errors.New("the answer has no status")
	}
	if len(w.Result) < len(body)/2 {
		w.Result = bytes.Clone(w.Result) // or it would keep the whole body in memory
	}
	return w, err
}

// readWorkflowMember reads one member of data, whose name is in lower case. If a name is repeated, the last
// one counts. Members that are not documented are skipped.
func readWorkflowMember(d *jsontext.Decoder, body []byte, name string, w *task.Workflow) error {
	switch name {
	case "status":
		status, err := readString(d)
		w.Status = truncate(status)
		return err
	case "result":
		w.Result = nil
		if d.PeekKind() == 'n' {
			return d.SkipValue()
		}
		result, err := rawValue(d, body)
		w.Result = result
		return err
	case "error":
		e, err := readError(d, body, 2)
		w.Error = truncate(e.text)
		return err
	default:
		return d.SkipValue()
	}
}

// checkWorkflowID returns an error if an id cannot be a segment of a path. The dots of "." and ".." would be resolved by
// proxies and servers.
func checkWorkflowID(id string) error {
	switch {
	case id == "":
		return errors.New("the workflow id is empty")
	case id == "." || id == "..":
		return fmt.Errorf("the workflow id is %q", id)
	case len(id) > maxWorkflowID:
		return fmt.Errorf("the workflow id has %d bytes, at most %d are allowed", len(id), maxWorkflowID)
	}
	return nil
}
