package streams

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// matchesAll reports whether a pattern matches every subject that another pattern does.
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

// overlap reports whether there is a subject that both patterns match.
func overlap(a, b string) bool {
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

// storedAs returns the patterns under which a stream stores what is published to a subject: none where it takes
// no such messages. Messages may reach a stream by its subjects or from other streams, and be renamed on the way.
func storedAs(c jetstream.StreamConfig, subject string) []string {
	var patterns []string
	if slices.ContainsFunc(c.Subjects, func(s string) bool { return matchesAll(s, subject) }) {
		patterns = append(patterns, subject)
	}
	for _, source := range c.Sources {
		patterns = append(patterns, sourced(*source, subject)...)
	}
	if t := c.SubjectTransform; t != nil {
		for i, pattern := range patterns {
			if t.Source == "" || matchesAll(t.Source, pattern) {
				patterns[i] = destination(t.Destination)
			}
		}
	}
	return patterns
}

// sourced returns the patterns of the messages that a source brings and that may be the subject's: those that
// overlap it, or that divide it into partitions below it.
func sourced(s jetstream.StreamSource, subject string) []string {
	if len(s.SubjectTransforms) == 0 {
		if s.FilterSubject == "" || overlap(s.FilterSubject, subject) {
			return []string{subject}
		}
		return nil
	}
	var patterns []string
	for _, t := range s.SubjectTransforms {
		to := destination(t.Destination)
		if t.Destination == "" { // a filter, and no renaming
			to = t.Source
		}
		switch {
		case overlap(to, subject):
			patterns = append(patterns, subject)
		case overlap(to, subject+".>"):
			patterns = append(patterns, to)
		}
	}
	return patterns
}

// destination returns the pattern of the subjects that a transform makes. A function such as {{random(4)}} or $1
// stands for one token, but those that cut a token into pieces may make any number of them.
func destination(transform string) string {
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
