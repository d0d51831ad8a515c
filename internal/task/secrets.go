package task

import "github.com/capstan-worker/capstan/internal/task/redact"

// Bounds of secret_values. Everything that leaves the worker is searched for each of them.
const (
	maxSecrets    = 100
	maxSecretName = 64 // bytes. The name stands wherever its value stood
)

// Secrets are the values that a request gives to its agent, which may not be shown to anybody else. They print as [redacted] in
// every way. The zero value holds none.
type Secrets struct{ redact.Secrets }

// With returns the secrets and the worker's own keys, whose mark is "[redacted]".
func (s Secrets) With(keys ...string) Secrets { return Secrets{s.Secrets.With(keys...)} }

// Prepared returns the same secrets in a form that redacts many events faster.
func (s Secrets) Prepared() Secrets { return Secrets{s.Secrets.Prepared()} }

// Event returns the event with the values taken out of its results and its error's message. Its metadata is the user's own, and
// stays as it is.
func (s Secrets) Event(e Event) Event {
	r := s.Redactor()
	e.Result, e.RawResult = r.JSON(e.Result), r.JSON(e.RawResult)
	if e.Error != nil {
		clean := *e.Error
		clean.Message = r.Text(clean.Message)
		e.Error = &clean
	}
	return e
}
