package streams

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// matchesAll reports whether a pattern matches every subject that another pattern matches. In NATS, * matches one token
// of a subject, and > matches one or more at the end.
func matchesAll(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(have) > i
		case i >= len(have) || have[i] == ">" || (token != "*" && token != have[i]):
			return false
		}
	}
	return len(want) == len(have)
}

// overlaps reports whether there is a subject that both patterns match. Either of them may have wildcards.
func overlaps(a, b string) bool {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(left), len(right)) {
		switch {
		case left[i] == ">" || right[i] == ">":
			return true
		case left[i] != "*" && right[i] != "*" && left[i] != right[i]:
			return false
		}
	}
	return len(left) == len(right)
}

// storedAs returns the patterns under which a stream stores messages that are published to a subject, or nil if it
// stores no such messages. Messages reach a stream by its subjects or from other streams, and may be renamed on the way.
func storedAs(c jetstream.StreamConfig, subject string) []string {
	var patterns []string
	if slices.ContainsFunc(c.Subjects, func(s string) bool { return matchesAll(s, subject) }) {
		patterns = append(patterns, subject)
	}
	for _, source := range c.Sources {
		patterns = append(patterns, sourcePatterns(*source, subject)...)
	}
	if t := c.SubjectTransform; t != nil { // of the stream itself, applied last
		for i, pattern := range patterns {
			if t.Source == "" || matchesAll(t.Source, pattern) {
				patterns[i] = transformPattern(t.Destination)
			}
		}
	}
	return patterns
}

// sourcePatterns returns the patterns of the messages from another stream that may be of the subject: those that
// overlap with it, or that divide it into partitions below it.
func sourcePatterns(s jetstream.StreamSource, subject string) []string {
	if len(s.SubjectTransforms) == 0 {
		if s.FilterSubject == "" || overlaps(s.FilterSubject, subject) {
			return []string{subject}
		}
		return nil
	}
	var patterns []string
	for _, t := range s.SubjectTransforms {
		to := transformPattern(t.Destination)
		if t.Destination == "" { // only a filter
			to = t.Source
		}
		switch {
		case overlaps(to, subject):
			patterns = append(patterns, subject)
		case overlaps(to, subject+".>"):
			patterns = append(patterns, to)
		}
	}
	return patterns
}

// transformPattern returns the pattern of the subjects that a transform writes. A function such as {{random(4)}} or $1
// writes one token, except that those which split a token may write any number.
func transformPattern(transform string) string {
	tokens := strings.Split(transform, ".")
	for i, token := range tokens {
		switch function := strings.ToLower(token); {
		case strings.HasPrefix(function, "{{") && (strings.Contains(function, "split") || strings.Contains(function, "slice")):
			return strings.Join(append(tokens[:i], ">"), ".")
		case strings.HasPrefix(function, "{{"), strings.HasPrefix(function, "$"):
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}
