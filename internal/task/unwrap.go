package task

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
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
	limited bool              // an envelope has the words for the step limit beside what it holds
	nothing bool              // these words are all that is inside
}

// innermost returns what is left when every wrapping is off.
func (l *layersOf) innermost() json.RawMessage { return l.values[len(l.values)-1] }

// saysFailure reports whether words in or around the result say that the agent failed or was stopped.
func (l *layersOf) saysFailure() bool { return l.failed || l.doubt || l.limited }

// addError adds the error that the API told beside the result, as if it stood in an envelope around it.
func (l *layersOf) addError(words string) {
	if saysNoError(words) {
		return
	}
	l.failed, l.says = true, words
	l.limited = l.limited || saysStepLimit(words)
}

// unwrap takes the wrappings off a result: envelopes and, where a schema asks for JSON, the quotes and
// the fence around a JSON text.
func unwrap(raw json.RawMessage, parse bool) *layersOf {
	l := &layersOf{}
	for envelopes := 0; ; {
		l.values = append(l.values, raw)
		switch jsontext.Value(raw).Kind() {
		case '"':
			l.nothing = saysStepLimit(shortText(raw))
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

// jsonIn returns the JSON that a JSON string holds, fenced or not, or nil.
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

// maxWords bounds the texts in which the words of the API and of an agent are looked for, in bytes of JSON.
const maxWords = 64 << 10

// shortText returns the text of a JSON string, and nothing of a long one or any other value.
func shortText(raw json.RawMessage) string {
	if len(raw) > maxWords {
		return ""
	}
	return textOf(raw)
}

// envelope is an object that is no answer but holds one, or the news that there is none.
type envelope struct {
	result json.RawMessage // nil where there is none
	failed bool            // its status, success or error says so
	words  string          // of its error or message
}

// readEnvelope reads an object whose names are all those of an envelope, of which it has at least one.
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
	for _, words := range []json.RawMessage{parts["error"], memberOf(parts["error"], "message"), parts["message"]} {
		if e.words == "" {
			e.words = shortText(words)
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

// isNoError reports whether the error of an envelope says that there is none: it is not there or empty, false, 0, or
// what a program in another language makes of no error when it writes a text.
func isNoError(raw json.RawMessage) bool {
	switch jsontext.Value(raw).Kind() {
	case 'f':
		return true
	case '0':
		return strings.Trim(string(raw), " \t\r\n-0.") == ""
	case '"':
		return isBlankText(raw) || len(raw) <= maxWords && saysNoError(shortText(raw))
	default:
		return isEmpty(raw)
	}
}

// saysNoError reports whether a text is None, null and the like, or blank.
func saysNoError(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "none", "null", "nil", "undefined", "false", "0":
		return true
	default:
		return false
	}
}

// isEmpty reports whether a value says nothing: none, null, a blank string, an empty object or array.
func isEmpty(raw json.RawMessage) bool {
	switch jsontext.Value(raw).Kind() {
	case 0, 'n':
		return true
	case '"':
		return isBlankText(raw)
	case '{', '[':
		return len(bytes.Trim(raw, "{}[] \t\r\n")) == 0
	default:
		return false
	}
}

// isBlankText reports whether a JSON string says nothing but white space. A long one does.
func isBlankText(raw json.RawMessage) bool {
	return len(raw) <= maxWords && strings.TrimSpace(shortText(raw)) == ""
}

// saysStepLimit reports whether a text is a sentence for an agent that max_steps stopped, and nothing else but a full
// stop, a fence, or the word that it is an error.
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
