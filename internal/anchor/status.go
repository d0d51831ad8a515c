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

// Status asks how far a workflow is. It reads at most so many bytes of the answer, and never more than MaxAnswer.
//
// The error is always a *task.StatusError, also when ctx ends, and then nothing is known of the workflow. If the
// answer is larger than most, the error says so (TooLarge) and how large it is (Size, or -1). An id that cannot stand
// in a URL is an error without a call.
func (c *Client) Status(ctx context.Context, workflowID string, most int64) (task.Workflow, error) {
	began := time.Now()
	workflow, failure := c.status(ctx, workflowID, min(max(most, 0), MaxAnswer))
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
	a, err := c.call(ctx, http.MethodGet, target, nil, most)
	switch {
	case err != nil:
		return task.Workflow{}, &task.StatusError{Message: c.words(err)}
	case !a.ok():
		return task.Workflow{}, &task.StatusError{
			HTTPStatus: a.status, RetryAfter: askedWait(a.header), OwnForm: a.ownForm(), Message: a.text(),
		}
	case errors.Is(a.err, errTooLarge):
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, TooLarge: true, Size: a.size, Message: a.err.Error()}
	case a.err != nil:
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, Message: c.words(a.err)}
	}
	workflow, err := readWorkflow(a.body)
	if err != nil {
		return task.Workflow{}, &task.StatusError{HTTPStatus: a.status, Message: c.words(fmt.Errorf("read answer: %w", err))}
	}
	return workflow, nil
}

// readWorkflow reads {"data":{"status":"…","result":…,"error":…}}. Only the status must be there; the others may be
// missing or null. A null result is none. Whatever stands behind the JSON is not looked at.
//
// The result is a part of body and no copy: a large one is in memory once.
func readWorkflow(body []byte) (w task.Workflow, err error) {
	body = withoutBOM(body)
	d := newDecoder(body)
	err = eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		w = task.Workflow{}
		return eachMember(d, func(name string) error { return readMember(d, body, strings.ToLower(name), &w) })
	})
	if err == nil && w.Status == "" {
		err = errors.New("it has no status")
	}
	if len(w.Result) < len(body)/2 {
		w.Result = bytes.Clone(w.Result) // or it would keep all the rest in memory
	}
	return w, err
}

func readMember(d *jsontext.Decoder, body []byte, name string, w *task.Workflow) error {
	switch name {
	case "status":
		status, err := readString(d)
		w.Status = bounded(status)
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
		said, err := readError(d, body, 2)
		w.Error = bounded(said.text)
		return err
	default:
		return d.SkipValue()
	}
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
