package settings

import (
	"fmt"
	"slices"
	"strings"
)

// Mistakes are lines for a person, each about one variable that cannot be used: its name, what it must be, and what it
// is. Packages collect them in the method Validate of their Config.
type Mistakes []string

// Require adds a line unless ok. The words "NAME must be" and want make a sentence. It shows at most the first 100
// characters of got; the type of a secret must print as [redacted].
func (m *Mistakes) Require(variable string, got any, ok bool, want string) {
	if !ok {
		*m = append(*m, fmt.Sprintf("%s must be %s (got %.100q)", variable, want, fmt.Sprint(got)))
	}
}

// RequireBetween adds a line unless got is from low to high. Both ends are allowed.
func (m *Mistakes) RequireBetween(variable string, got, low, high int) {
	m.Require(variable, got, low <= got && got <= high, fmt.Sprintf("a whole number from %d to %d", low, high))
}

// RequireOneOf adds a line unless got is one of two or more words.
func (m *Mistakes) RequireOneOf(variable, got string, words ...string) {
	last := len(words) - 1
	m.Require(variable, got, slices.Contains(words, got), strings.Join(words[:last], ", ")+" or "+words[last])
}
