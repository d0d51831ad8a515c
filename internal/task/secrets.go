package task

import (
	"fmt"
	"io"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// Bounds of secret_values. Everything that leaves the worker is searched for each of them.
const (
	maxSecrets = 100
	// In bytes. The name appears wherever its value was.
	maxSecretName = 64
)

// Secrets are the values that a request gives to its agent, and that must not be shown. They print as [redacted] in every way. The
// zero value holds none.
type Secrets struct{ redact.Secrets }

// With returns the secrets and the worker's own keys, which become "[redacted]".
func (s Secrets) With(keys ...string) Secrets { return Secrets{s.Secrets.With(keys...)} }

// Prepared returns the same secrets in a form that redacts many events faster.
func (s Secrets) Prepared() Secrets { return Secrets{s.Secrets.Prepared()} }

// Event returns the event with the secrets redacted in its results and in its error's message. Its metadata
// is the user's own and stays as it is. The event that it was given does not change.
func (s Secrets) Event(e Event) Event {
	r := s.Redactor()
	e.Result, e.RawResult = r.JSON(e.Result), r.JSON(e.RawResult)
	if e.Error != nil {
		clean := *e.Error
		clean.Message = r.Text(s.Cut(clean.Message)) // what the API said may have been cut within a secret
		e.Error = &clean
	}
	return e
}

// Secret is a setting that prints as [redacted] in every way: with any verb of fmt, as text and as JSON. An empty one
// prints as "". Its value is string(s).
type Secret string

// String returns [redacted], or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString returns the same as String.
func (s Secret) GoString() string { return s.String() }

// Format writes the same as String for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String())
}

// MarshalText returns the same as String. encoding/json calls it as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
