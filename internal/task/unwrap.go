package task

import (
	"encoding/json"
	"slices"
	"strings"
)

// maxEnvelopes bounds how many envelopes are taken off a result.
const maxEnvelopes = 3

// layersOf is a result with everything that was found inside its wrappings.
type layersOf struct {
	values  []json.RawMessage // the result itself, and then what each layer held
	bare    int               // the first of the values that is inside every envelope
	failed  bool              // an envelope that was taken off says that the agent failed
	doubt   bool              // the innermost value looks like an envelope, and says the same
	says    string            // in the words of the envelope
	limited bool              // the words for the step limit stand somewhere
}

// innermost returns what is left when every wrapping is off.
func (l *layersOf) innermost() json.RawMessage { return l.values[len(l.values)-1] }

// unwrap takes the wrappings off a result: envelopes and, where a schema asks for JSON, the quotes and
// the fence around a JSON text.
func unwrap(raw json.RawMessage, parse bool) *layersOf {
	l := &layersOf{}
	for envelopes := 0; ; {
		l.values = append(l.values, raw)
		switch kindOf(raw) {
		case "a string":
			text := textOf(raw)
			inside := json.RawMessage(unfence(text))
			l.limited = l.limited || saysStepLimit(text)
			if !parse || !json.Valid(inside) {
				return l
			}
			raw = inside
		case "an object":
			e, ok := readEnvelope(raw)
			if !ok {
				return l
			}
			l.limited = l.limited || saysStepLimit(e.words)
			if e.result == nil || envelopes == maxEnvelopes {
				l.doubt, l.says = e.failed, e.words
				return l
			}
			if e.failed && !l.failed {
				l.failed, l.says = true, e.words
			}
			raw, l.bare = e.result, len(l.values)
			envelopes++
		default:
			return l
		}
	}
}

// envelope is an object that is no answer but holds one, or the news that there is none.
type envelope struct {
	result json.RawMessage // nil where there is none
	failed bool            // its status, success or error says so
	words  string          // of its error or message
}

func readEnvelope(raw json.RawMessage) (envelope, bool) {
	all := members(raw)
	for _, m := range all {
		if !isEnvelopeKey(m.name) {
			return envelope{}, false
		}
	}
	status := strings.ToLower(strings.TrimSpace(textOf(valueOf(all, "status"))))
	failure := valueOf(all, "error")
	e := envelope{
		result: valueOf(all, "result"),
		failed: slices.Contains([]string{"failed", "error", "failure"}, status) ||
			string(valueOf(all, "success")) == "false" || !isEmpty(failure) && string(failure) != "false",
	}
	for _, words := range []json.RawMessage{failure, valueOf(members(failure), "message"), valueOf(all, "message")} {
		if e.words == "" {
			e.words = textOf(words)
		}
	}
	return e, len(all) > 0
}

// isEnvelopeKey reports whether an envelope around an answer can have this name. An object with any other
// is an answer.
func isEnvelopeKey(name string) bool {
	switch name {
	case "result", "status", "steps", "data", "error", "success", "message":
		return true
	default:
		return false
	}
}

// isEmpty reports whether a value says nothing: none, null, a blank string, an empty object or array.
func isEmpty(raw json.RawMessage) bool {
	switch kindOf(raw) {
	case "nothing", "null":
		return true
	case "a string":
		return strings.TrimSpace(textOf(raw)) == ""
	case "an object", "an array":
		return strings.Trim(string(raw), "{}[] \t\r\n") == ""
	default:
		return false
	}
}

// saysStepLimit reports whether a text is the API's sentence for an agent that max_steps stopped, and
// nothing else.
func saysStepLimit(text string) bool {
	text = unfence(text)
	return strings.EqualFold(text, "Maximum number of steps exceeded") || // the error of a FAILED workflow
		strings.EqualFold(text, "Task completed (max steps reached)") // in place of a COMPLETED one's answer
}

// unfence returns the text without the blanks around it and without a Markdown fence, where it stands in
// one: CommonMark 0.31, section 4.5.
func unfence(text string) string {
	text = strings.TrimSpace(text)
	const fence = "```"
	if len(text) < 2*len(fence) || !strings.HasPrefix(text, fence) || !strings.HasSuffix(text, fence) {
		return text
	}
	inside := text[len(fence) : len(text)-len(fence)]
	if language, rest, ok := strings.Cut(inside, "\n"); ok && !strings.ContainsAny(language, "`{}[]\"") {
		inside = rest
	}
	return strings.TrimSpace(inside)
}
