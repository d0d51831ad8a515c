package task

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxEnvelopes bounds how many envelopes are taken off a result. What is inside the last one counts as the
// answer, even if it is like an envelope.
const maxEnvelopes = 3

// layers is a result with everything that was found inside its wrappings.
type layers struct {
	values []json.RawMessage // the result itself, and then the content of each wrapping
	bare   int               // index of the first value that is inside every envelope

	failed        bool   // an envelope that was taken off reports a failure
	lastFailed    bool   // the innermost value is like an envelope and reports a failure, but may be an answer
	reason        string // of the failure, in the agent's words
	stepLimit     bool   // an envelope reports that max_steps stopped the agent
	onlyStepLimit bool   // the innermost value is nothing but that report
}

// innermost returns the value without any wrapping.
func (l *layers) innermost() json.RawMessage { return l.values[len(l.values)-1] }

// reportsFailure reports whether the result, or what came with it, says that the agent failed or was stopped.
func (l *layers) reportsFailure() bool { return l.failed || l.lastFailed || l.stepLimit }

// addError adds an error that the API reported with the result, as if an envelope around the result had it.
func (l *layers) addError(reason string) {
	if meansNoError(reason) {
		return
	}
	l.failed, l.reason = true, reason
	l.stepLimit = l.stepLimit || saysStepLimit(reason)
}

// unwrap takes the wrappings off a result: envelopes and, if parse is set, the quotes and the Markdown fence around a
// JSON text.
func unwrap(raw json.RawMessage, parse bool) *layers {
	l := &layers{}
	for envelopes := 0; ; {
		l.values = append(l.values, raw)
		switch jsontext.Value(raw).Kind() {
		case '"':
			l.onlyStepLimit = saysStepLimit(shortText(raw))
			inside := jsonIn(raw, parse)
			if inside == nil {
				return l
			}
			raw = inside
		case '{':
			e, ok := readEnvelope(raw)
			if !ok {
				return l
			}
			l.stepLimit = l.stepLimit || saysStepLimit(e.reason)
			if e.result == nil || envelopes == maxEnvelopes {
				l.lastFailed, l.reason = e.failed, e.reason
				return l
			}
			if e.failed && !l.failed {
				l.failed, l.reason = true, e.reason
			}
			raw, l.bare = e.result, len(l.values)
			envelopes++
		default:
			return l
		}
	}
}

// jsonIn returns the JSON that a JSON string holds, in a Markdown fence or not. It returns nil if there is none, or if
// parse is not set.
func jsonIn(raw json.RawMessage, parse bool) json.RawMessage {
	if !parse {
		return nil
	}
	text, _ := jsontext.AppendUnquote(nil, bytes.TrimSpace(raw)) // an error only reports what became U+FFFD
	inside := unfence(text)
	if !json.Valid(inside) {
		return nil
	}
	return inside
}

// maxWords bounds the texts in which reports of the API and of an agent are searched for, in bytes of JSON.
const maxWords = 64 << 10

// shortText returns the text of a JSON string, and "" for a long one and for any other value.
func shortText(raw json.RawMessage) string {
	if len(raw) > maxWords {
		return ""
	}
	return textOf(raw)
}

// envelope is an object that is not an answer but holds one, or reports that there is none.
type envelope struct {
	result json.RawMessage // nil if it has none
	failed bool            // according to its status, success or error
	reason string          // from its error or message
}

// readEnvelope reads an object that has only names that an envelope may have, and at least one. Of a name
// that comes twice, the first value counts.
func readEnvelope(raw json.RawMessage) (envelope, bool) {
	parts := map[string]json.RawMessage{}
	for m := range eachMember(raw) {
		if !isEnvelopeKey(m.name) {
			return envelope{}, false
		}
		if _, known := parts[m.name]; !known {
			parts[m.name] = m.value
		}
	}
	if len(parts) == 0 {
		return envelope{}, false
	}
	status := strings.ToLower(strings.TrimSpace(shortText(parts["status"])))
	e := envelope{
		result: parts["result"],
		failed: slices.Contains([]string{"failed", "error", "failure"}, status) ||
			string(parts["success"]) == "false" || !isNoError(parts["error"]),
	}
	for _, reason := range []json.RawMessage{parts["error"], memberOf(parts["error"], "message"), parts["message"]} {
		if e.reason == "" {
			e.reason = shortText(reason)
		}
	}
	return e, true
}

// memberOf returns the value of an object's first member with this name, or nil.
func memberOf(raw json.RawMessage, name string) json.RawMessage {
	for m := range eachMember(raw) {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// isEnvelopeKey reports whether an envelope around an answer may have this name. An object with any other name is an
// answer.
func isEnvelopeKey(name string) bool {
	switch name {
	case "result", "status", "steps", "data", "error", "success", "message":
		return true
	default:
		return false
	}
}

// isNoError reports whether the error of an envelope means that there is none: it is missing or empty, false, 0, or how a
// program in another language writes no error as a text.
func isNoError(raw json.RawMessage) bool {
	switch jsontext.Value(raw).Kind() {
	case 'f':
		return true
	case '0':
		return strings.Trim(string(raw), " \t\r\n-0.") == ""
	case '"':
		return len(raw) <= maxWords && meansNoError(shortText(raw))
	default:
		return isEmpty(raw)
	}
}

// meansNoError reports whether a text is blank, or None, null and the like.
func meansNoError(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "none", "null", "nil", "undefined", "false", "0":
		return true
	default:
		return false
	}
}

// isEmpty reports whether a value has no content: a missing one, null, a blank string, an empty object or
// array. An array that holds only empty objects and arrays is empty, too.
func isEmpty(raw json.RawMessage) bool {
	switch jsontext.Value(raw).Kind() {
	case jsontext.KindInvalid, 'n':
		return true
	case '"':
		return len(raw) <= maxWords && strings.TrimSpace(shortText(raw)) == ""
	case '{', '[':
		return len(bytes.Trim(raw, "{}[] \t\r\n")) == 0
	default:
		return false
	}
}

// saysStepLimit reports whether a text is a sentence by which max_steps is reported, and nothing else but a full stop, a
// fence, or a prefix for errors.
func saysStepLimit(text string) bool {
	text = strings.TrimSpace(strings.TrimPrefix(string(unfence([]byte(text))), "❌"))
	text = strings.TrimSuffix(text, ".")
	for _, prefix := range []string{"error:", "failed:", "task failed:", "agent failed:"} {
		if len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
			text = strings.TrimSpace(text[len(prefix):])
			break
		}
	}
	return strings.EqualFold(text, "Maximum number of steps exceeded") || // the error of a FAILED workflow
		strings.EqualFold(text, "Task completed (max steps reached)") || // in place of a COMPLETED one's answer
		strings.EqualFold(text, "Failed to complete task in maximum steps") // browser-use, which the API runs
}
