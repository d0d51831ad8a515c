package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// maxMessage bounds the message of an error, in bytes: it may quote the API.
const maxMessage = 2 << 10

// Verdict is how a task ended. It may hold secrets: see Secrets.Event.
type Verdict struct {
	Result    json.RawMessage // the agent's answer, its wrappings taken off; nil where it failed
	RawResult json.RawMessage // what the API sent, where that differs or the task failed with a result
	Error     *Error          // nil where it succeeded
}

// Judge says what a workflow's end means for its task. COMPLETED alone is no success: the answer has to
// fit output_schema or, without one, to say something, and nothing beside it may say that the agent
// failed. The error is ctx's: it ended while the check against output_schema waited for its turn.
func (r *Request) Judge(ctx context.Context, e Outcome) (Verdict, error) {
	raw := asJSON(e.Result)
	switch {
	case e.TooLarge:
		return r.failed(InvalidResult, nil, "the answer is larger than what is read of one"), nil
	case e.Lost:
		return r.failed(WorkflowLost, nil, "the API does not know the workflow any more"), nil
	case e.TimedOut:
		return r.failed(Timeout, nil, r.sayTimeout(e.LastError)), nil
	case e.Ended() && e.state() != "COMPLETED" && saysStepLimit(e.Error):
		return r.failed(StepLimit, raw, "stopped by max_steps: "+e.Error), nil
	case e.state() == "COMPLETED":
		return r.judgeResult(ctx, raw, e.Error)
	case e.state() == "FAILED":
		return r.failed(WorkflowFailed, raw, say("the workflow failed", e.Error)), nil
	default:
		return r.failed(WorkflowFailed, raw, say("the workflow ended as "+e.Status, e.Error)), nil
	}
}

// sayTimeout says that the task's time was up, and what the last answer was where it could not be used.
func (r *Request) sayTimeout(lastError string) string {
	message := fmt.Sprintf("not done within %v", r.Timeout)
	if lastError != "" {
		message += "; the last answer was: " + lastError
	}
	return message
}

// judgeResult judges what a completed workflow brought, and the error that the API told beside it.
func (r *Request) judgeResult(ctx context.Context, raw json.RawMessage, beside string) (Verdict, error) {
	l := unwrap(raw, r.OutputSchema != nil)
	l.addError(beside)
	switch {
	case l.nothing:
		return r.failed(StepLimit, raw, "stopped by max_steps"), nil
	case r.OutputSchema != nil:
		return r.judgeBySchema(ctx, raw, l)
	case l.saysFailure():
		return r.failedAgent(raw, l), nil
	case jsontext.Value(l.innermost()).Kind() != '[' && isEmpty(l.innermost()):
		return r.failed(AgentFailed, raw, "the result is empty"), nil
	}
	return succeeded(raw, l.innermost()), nil
}

// judgeBySchema takes the first of the possible answers that fits the schema, whatever words stand beside it.
func (r *Request) judgeBySchema(ctx context.Context, raw json.RawMessage, l *layersOf) (Verdict, error) {
	fits, err := r.schemas.FirstFit(ctx, r.OutputSchema, l.values, l.order)
	misfit, isMisfit := errors.AsType[*schema.MisfitError](err)
	switch {
	case err == nil:
		return succeeded(raw, l.values[fits]), nil
	case ctx.Err() != nil && !isMisfit:
		return Verdict{}, err
	case isMisfit && l.saysFailure():
		return r.failedAgent(raw, l), nil
	case isMisfit:
		return r.failed(InvalidResult, raw, "result: "+misfit.Error()), nil
	default:
		return r.failed(InvalidResult, raw, "result: cannot be checked against output_schema: "+err.Error()), nil
	}
}

// order returns in which order the values can be the answer, the likeliest first: inside every envelope a parsed
// text, then the text it was, because a schema may ask for a string. Only a schema that describes a result of its own
// may mean what looks like an envelope: in its properties, and then the whole comes first, or in another way, and
// then the whole comes last.
func (l *layersOf) order(describes func(member string) schema.Description) []int {
	var all []int
	for i := range l.values {
		all = append(all, i)
	}
	switch describes("result") {
	case schema.Outright:
		return all
	case schema.Implied:
		slices.Reverse(all)
		return all
	default:
		all = all[l.bare:]
		slices.Reverse(all)
		return all
	}
}

// failedAgent returns the verdict for words that say that the agent failed, or that it was stopped by max_steps.
func (r *Request) failedAgent(raw json.RawMessage, l *layersOf) Verdict {
	if l.limited {
		return r.failed(StepLimit, raw, "stopped by max_steps")
	}
	return r.failed(AgentFailed, raw, say("the agent says that it failed", l.says))
}

func succeeded(raw, result json.RawMessage) Verdict {
	v := Verdict{Result: readable(result)}
	if !bytes.Equal(raw, result) {
		v.RawResult = readable(raw)
	}
	return v
}

// failed returns the verdict of a failure. A message that is too long is cut, its secrets first: half a
// secret would not be recognized later.
func (r *Request) failed(code Code, raw json.RawMessage, message string) Verdict {
	if len(message) > maxMessage {
		message = cut(r.Secrets.Text(message), maxMessage)
	}
	v := Verdict{Error: NewError(code, message)}
	if jsontext.Value(raw).Kind() != 'n' {
		v.RawResult = readable(raw)
	}
	return v
}

// say adds the API's or the agent's own words, where there are any.
func say(what, words string) string {
	if words == "" {
		return what
	}
	return what + ": " + words
}

// asJSON returns a result as JSON in any case: null for none, a string for what is not JSON.
func asJSON(raw json.RawMessage) json.RawMessage {
	switch {
	case len(raw) == 0:
		return json.RawMessage("null")
	case !json.Valid(raw):
		return quote(string(raw))
	default:
		return raw
	}
}
