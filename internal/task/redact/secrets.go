package redact

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bare is how Secrets print, and the mark of a secret without a name or whose name contains a secret.
const Bare = "[redacted]"

// Secret is a value that must not be shown, and the name that its mark shows.
type Secret struct{ Name, Value string }

// Secrets are values that must not be shown. They print as [redacted] with every verb and as JSON. The zero value holds no
// secrets.
type Secrets struct {
	all    []Secret // the longest first
	tables *tables  // nil unless the secrets are Prepared
}

// New returns the secrets whose value is not empty. Of several with the same value it keeps one. Its name
// is the first in alphabetical order, so that the result does not depend on the order of the secrets.
func New(all ...Secret) Secrets {
	all = slices.DeleteFunc(slices.Clone(all), func(s Secret) bool { return s.Value == "" })
	slices.SortFunc(all, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(len(b.Value), len(a.Value)), strings.Compare(a.Value, b.Value), strings.Compare(a.Name, b.Name))
	})
	return Secrets{all: slices.CompactFunc(all, func(a, b Secret) bool { return a.Value == b.Value })}
}

// Prepared returns the same secrets with the tables of a Redactor, so that they are built only once. Use it for secrets
// that many texts are searched for.
func (s Secrets) Prepared() Secrets {
	s.tables = s.Redactor().tables
	return s
}

// With returns the secrets and these keys, whose mark is "[redacted]". The result is not Prepared.
func (s Secrets) With(keys ...string) Secrets {
	all := slices.Clone(s.all)
	for _, key := range keys {
		all = append(all, Secret{Value: key})
	}
	return New(all...)
}

// Size returns the number of bytes of all names and values.
func (s Secrets) Size() int {
	size := 0
	for _, secret := range s.all {
		size += len(secret.Name) + len(secret.Value)
	}
	return size
}

// String returns "[redacted]".
func (Secrets) String() string { return Bare }

// GoString returns "[redacted]".
func (Secrets) GoString() string { return Bare }

// Format writes "[redacted]", whatever the verb.
func (Secrets) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Bare) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (Secrets) MarshalJSON() ([]byte, error) { return []byte(`"` + Bare + `"`), nil }

// Text is Redactor.Text for a single text.
func (s Secrets) Text(text string) string { return s.Redactor().Text(text) }

// JSON is Redactor.JSON for a single value.
func (s Secrets) JSON(raw []byte) []byte { return s.Redactor().JSON(raw) }
