package task

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds of secret_values. Everything that leaves the worker is searched for each of them.
const (
	maxSecrets    = 100
	maxSecretName = 64 // bytes. The name stands wherever its value stood
)

// redacted is what Secrets print as, and the mark of a secret that has no name fit to be shown.
const redacted = "[redacted]"

// Secrets are the values a request handed to its agent, which nobody else may see. They take themselves
// out of what the task leaves behind, and print as [redacted] in every way. The zero value holds none.
type Secrets struct{ all []secret }

// secret is a value and what is put in its place.
type secret struct{ name, value, mark string }

// newSecrets returns the values that are not empty, the longest first.
func newSecrets(all []secret) Secrets {
	all = slices.DeleteFunc(slices.Clone(all), func(s secret) bool { return s.value == "" })
	slices.SortFunc(all, func(a, b secret) int {
		return cmp.Or(cmp.Compare(len(b.value), len(a.value)), strings.Compare(a.name, b.name))
	})
	s := Secrets{all}
	for i := range all {
		all[i].mark = s.markOf(all[i].name)
	}
	return s
}

// markOf returns what is put in the place of the value with this name. A name that itself shows one of
// the values is not shown.
func (s Secrets) markOf(name string) string {
	shows := func(other secret) bool { return strings.Contains(name, other.value) }
	if name == "" || slices.ContainsFunc(s.all, shows) {
		return redacted
	}
	return "[redacted:" + cut(name, maxSecretName) + "]"
}

// String returns "[redacted]".
func (Secrets) String() string { return redacted }

// GoString returns "[redacted]".
func (Secrets) GoString() string { return redacted }

// Format writes "[redacted]", whatever the verb.
func (Secrets) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (Secrets) MarshalJSON() ([]byte, error) { return quote(redacted), nil }

// Text returns the text with [redacted:NAME] in place of every value, also where it stands JSON-escaped
// once or twice, or URL-escaped. Of values that overlap, the longest gives its name.
func (s Secrets) Text(text string) string {
	clean, _ := s.clean(text)
	return clean
}

// clean returns Text, and whether anything was replaced.
func (s Secrets) clean(text string) (string, bool) {
	hits := s.find(text)
	if len(hits) == 0 {
		return text, false
	}
	var b strings.Builder
	done := 0
	for _, h := range hits {
		b.WriteString(text[done:h.from])
		b.WriteString(h.mark)
		done = h.to
	}
	b.WriteString(text[done:])
	return b.String(), true
}

// hit is a stretch of text that a mark is put in place of.
type hit struct {
	from, to int
	mark     string
}

// find returns where the values stand in a text, in order and without overlap. Hits that overlap become
// one, with the mark of the longest; so do hits of one secret that touch, lest a short value that is
// repeated makes a long text many times longer.
func (s Secrets) find(text string) []hit {
	var hits []hit
	if len(s.all) == 0 {
		return nil
	}
	for _, v := range views(text) {
		for _, secret := range s.all {
			hits = append(hits, v.find(secret)...)
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.from - b.from })
	merged, longest := hits[:0], 0
	for _, h := range hits {
		last := len(merged) - 1
		if last < 0 || h.from > merged[last].to || h.from == merged[last].to && h.mark != merged[last].mark {
			merged, longest = append(merged, h), h.to-h.from
			continue
		}
		if h.to-h.from > longest {
			merged[last].mark, longest = h.mark, h.to-h.from
		}
		merged[last].to = max(merged[last].to, h.to)
	}
	return merged
}

// JSON returns the JSON with the values taken out of its strings and names as Text does it, and with
// every number whose literal is a value as a string. All other bytes stay. Where nothing matches, it
// returns raw itself.
func (s Secrets) JSON(raw json.RawMessage) json.RawMessage {
	if len(s.all) == 0 {
		return raw
	}
	var b bytes.Buffer
	done := 0
	for at := 0; at < len(raw); {
		end := literalEnd(raw, at)
		if clean, ok := s.cleanLiteral(raw[at:end]); ok {
			b.Write(raw[done:at])
			b.Write(clean)
			done = end
		}
		at = end
	}
	if done == 0 {
		return raw
	}
	b.Write(raw[done:])
	return b.Bytes()
}

// cleanLiteral returns what stands for a JSON string or number, and whether that is something else.
func (s Secrets) cleanLiteral(literal []byte) ([]byte, bool) {
	if literal[0] == '"' {
		clean, ok := s.clean(unquoteAny(literal))
		if !ok {
			return nil, false
		}
		return quote(clean), true
	}
	for _, secret := range s.all {
		if secret.value == string(literal) && isNumber(literal[0]) {
			return quote(secret.mark), true
		}
	}
	return nil, false
}

// Event returns the event with the values taken out of its results and its error's message. Its metadata
// is the user's own, and stays as it is.
func (s Secrets) Event(e Event) Event {
	e.Result, e.RawResult = s.JSON(e.Result), s.JSON(e.RawResult)
	if e.Error != nil {
		clean := *e.Error
		clean.Message = s.Text(clean.Message)
		e.Error = &clean
	}
	return e
}
