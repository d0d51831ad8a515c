package task

import (
	"encoding/json"
	"fmt"
	"slices"
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
// fit output_schema or, without one, to say something, and no envelope around it may say that the agent
// failed.
func (r *Request) Judge(e Ending) Verdict {
	raw := asJSON(e.Result)
	switch {
	case e.TooLarge:
		return r.failed(InvalidResult, nil, "the answer is larger than what is read of one")
	case e.Lost:
		return r.failed(WorkflowLost, nil, "the API does not know the workflow any more")
	case e.TimedOut:
		return r.failed(Timeout, nil, fmt.Sprintf("not done within %v", r.Timeout))
	case e.Ended() && saysStepLimit(e.Error):
		return r.failed(StepLimit, raw, "stopped by max_steps: "+e.Error)
	case e.state() == "COMPLETED":
		return r.judgeResult(raw)
	case e.state() == "FAILED":
		return r.failed(WorkflowFailed, raw, say("the workflow failed", e.Error))
	default:
		return r.failed(WorkflowFailed, raw, say("the workflow ended as "+e.Status, e.Error))
	}
}

// judgeResult judges what a completed workflow brought.
func (r *Request) judgeResult(raw json.RawMessage) Verdict {
	l := unwrap(raw, r.OutputSchema != nil)
	switch {
	case l.limited:
		return r.failed(StepLimit, raw, "stopped by max_steps")
	case l.failed:
		return r.failed(AgentFailed, raw, say("the agent says that it failed", l.says))
	case r.OutputSchema != nil:
		return r.judgeBySchema(raw, l)
	case l.doubt:
		return r.failed(AgentFailed, raw, say("the agent says that it failed", l.says))
	case kindOf(l.innermost()) != "an array" && isEmpty(l.innermost()):
		return r.failed(AgentFailed, raw, "the result is empty")
	}
	return succeeded(raw, l.innermost())
}

// judgeBySchema takes the first of the possible answers that fits the schema.
func (r *Request) judgeBySchema(raw json.RawMessage, l *layersOf) Verdict {
	s, err := compileSchema(r.OutputSchema)
	if err != nil {
		return r.failed(InvalidResult, raw, "result: cannot be checked against output_schema: "+err.Error())
	}
	var misfits []error
	for _, answer := range l.answers(s) {
		err := s.check(answer)
		if err == nil {
			return succeeded(raw, answer)
		}
		misfits = append(misfits, err)
	}
	if l.doubt {
		return r.failed(AgentFailed, raw, say("the agent says that it failed", l.says))
	}
	return r.failed(InvalidResult, raw, "result: "+misfits[0].Error())
}

// answers returns what can be the answer, the likeliest first: inside every envelope a parsed text, then
// the text it was, because a schema may ask for a string. Only a schema that describes an object with a
// result of its own may mean what looks like an envelope; then the whole comes first.
func (l *layersOf) answers(s *schema) []json.RawMessage {
	if s.hasResult() {
		return l.values
	}
	inside := slices.Clone(l.values[l.bare:])
	slices.Reverse(inside)
	return inside
}

func succeeded(raw, result json.RawMessage) Verdict {
	v := Verdict{Result: result}
	if string(raw) != string(result) {
		v.RawResult = raw
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
	if kindOf(raw) != "null" {
		v.RawResult = raw
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
