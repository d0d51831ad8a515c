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

// Verdict is the result of a task, or why it has none. It may hold secrets: see Secrets.Event.
type Verdict struct {
	Result    json.RawMessage // the agent's answer without its wrappings; nil if the task failed
	RawResult json.RawMessage // what the API sent, if it differs or if the task failed with a result; else nil
	Error     *Error          // nil if the task succeeded
}

// Judge returns the verdict for the outcome of a workflow. COMPLETED alone is no success: the answer must fit
// output_schema or, without a schema, must not be empty, and the agent must not have reported a failure. The error is
// ctx's, if it ended while the check against output_schema waited for its turn.
func (r *Request) Judge(ctx context.Context, o Outcome) (Verdict, error) {
	raw := asJSON(o.Result)
	switch {
	case o.Canceled != nil:
		return r.failed(Canceled, nil, o.Canceled.String()+"; "+o.fate()), nil
	case o.TooLarge:
		return r.failed(InvalidResult, nil, "the answer is too large to be read"), nil
	case o.Lost:
		return r.failed(WorkflowLost, nil, "the API no longer knows the workflow"), nil
	case o.TimedOut:
		return r.failed(Timeout, nil, r.timeoutMessage(o)), nil
	// A workflow that max_steps stopped is FAILED, and only its error says why.
	case o.Ended() && o.status() != "COMPLETED" && saysStepLimit(o.Error):
		return r.failed(StepLimit, raw, "stopped by max_steps: "+o.Error), nil
	case o.status() == "COMPLETED":
		return r.judgeResult(ctx, raw, o.Error)
	case o.status() == "FAILED":
		return r.failed(WorkflowFailed, raw, withReason("the workflow failed", o.Error)), nil
	default:
		return r.failed(WorkflowFailed, raw, withReason("the workflow ended as "+o.Status, o.Error)), nil
	}
}

// timeoutMessage names the last answer of the API if it could not be used, and says what became of the session.
func (r *Request) timeoutMessage(o Outcome) string {
	message := fmt.Sprintf("did not finish within %v", r.Timeout)
	if o.Session != nil {
		message += "; " + o.Session.String()
	}
	if o.LastError != "" {
		message += "; the last answer was: " + o.LastError
	}
	return message
}

// fate says what became of a workflow that nobody waits for any longer.
func (o *Outcome) fate() string {
	if o.Session == nil {
		return "its workflow may run on"
	}
	return o.Session.String()
}

// judgeResult judges the result of a completed workflow and the error that the API reported with it.
func (r *Request) judgeResult(ctx context.Context, raw json.RawMessage, apiError string) (Verdict, error) {
	l := unwrap(raw, r.OutputSchema != nil)
	l.addError(apiError)
	switch {
	// The report would fit any schema that accepts a string.
	case l.onlyStepLimit:
		return r.failed(StepLimit, raw, "stopped by max_steps"), nil
	case r.OutputSchema != nil:
		return r.judgeBySchema(ctx, raw, l)
	case l.reportsFailure():
		return r.failedAgent(raw, l), nil
	// An empty array is an answer: the agent looked for something and found none.
	case jsontext.Value(l.innermost()).Kind() != '[' && isEmpty(l.innermost()):
		return r.failed(AgentFailed, raw, "the result is empty"), nil
	}
	return succeeded(raw, l.innermost()), nil
}

// judgeBySchema takes the first of the possible answers that fits the schema, even if the agent reported a failure.
func (r *Request) judgeBySchema(ctx context.Context, raw json.RawMessage, l *layers) (Verdict, error) {
	fits, err := r.schemas.FirstFit(ctx, r.OutputSchema, l.values, l.order)
	misfit, isMisfit := errors.AsType[*schema.MisfitError](err)
	switch {
	case err == nil:
		return succeeded(raw, l.values[fits]), nil
	// Nothing is known about the result, so there is no verdict.
	case ctx.Err() != nil && !isMisfit:
		return Verdict{}, err
	case isMisfit && l.reportsFailure():
		return r.failedAgent(raw, l), nil
	case isMisfit:
		return r.failed(InvalidResult, raw, "result: "+misfit.Error()), nil
	default:
		return r.failed(InvalidResult, raw, "result: cannot be checked against output_schema: "+err.Error()), nil
	}
}

// order returns the order in which the values are tried, the likeliest answer first. Inside every envelope, a parsed text
// comes before the text itself, which fits if the schema asks for a string. A schema that describes a member "result"
// may mean what looks like an envelope: if it does so in its properties, the whole comes first, and if it does so in
// another way, the whole comes last.
func (l *layers) order(describes func(member string) schema.Description) []int {
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

// failedAgent returns the verdict if the agent reported that it failed, or that max_steps stopped it.
func (r *Request) failedAgent(raw json.RawMessage, l *layers) Verdict {
	if l.stepLimit {
		return r.failed(StepLimit, raw, "stopped by max_steps")
	}
	return r.failed(AgentFailed, raw, withReason("the agent reported a failure", l.reason))
}

// succeeded returns the verdict of a success, with the raw result only if it differs from the answer.
func succeeded(raw, result json.RawMessage) Verdict {
	v := Verdict{Result: readable(result)}
	if !bytes.Equal(raw, result) {
		v.RawResult = readable(raw)
	}
	return v
}

// failed returns the verdict of a failure. If the message is too long, its secrets are redacted before it is truncated:
// half a secret would not be found later.
func (r *Request) failed(code Code, raw json.RawMessage, message string) Verdict {
	if len(message) > maxMessage {
		message = truncate(r.Secrets.Text(r.Secrets.Cut(message)), maxMessage)
	}
	v := Verdict{Error: NewError(code, message)}
	if jsontext.Value(raw).Kind() != 'n' {
		v.RawResult = readable(raw)
	}
	return v
}

// withReason adds the words of the API or of the agent, if there are any.
func withReason(message, reason string) string {
	if reason == "" {
		return message
	}
	return message + ": " + reason
}

// asJSON returns a result as JSON in any case: null for none, and a string for a text that is not JSON.
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
