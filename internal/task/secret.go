package task

import (
	"fmt"
	"io"
)

// Secret is a setting that prints as [redacted] in every way: with any verb of fmt, as text and as JSON.
// An empty one prints as an empty string. string(s) is its value.
type Secret string

// String returns [redacted], or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString returns the same as String.
func (s Secret) GoString() string { return s.String() }

// Format writes the same as String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String())
}

// MarshalText returns the same as String; encoding/json uses it as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
