// Package redact takes secrets out of texts and JSON.
//
// A secret is found as it is, and also where it stands escaped: as JSON, as a part of a URL, or as HTML, and in any two of
// these around each other, such as JSON that is a string in JSON, or JSON in the query of a URL. A blank and a + count as
// the same byte, because a + is a blank in a query.
//
// The search reads the text once for each kind of escaping that the text has, for all secrets together. Its time and its
// memory grow linearly with the text and with the secrets, whatever they are.
package redact

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bare is how Secrets print, and the mark of a secret whose name may not be shown or that has none.
const Bare = "[redacted]"

// Secret is a value to be taken out, and the name that its mark shows.
type Secret struct{ Name, Value string }

// Secrets are values that may not be shown. They print as [redacted] with every verb and as JSON. The zero value holds none.
type Secrets struct {
	all    []Secret
	tables *tables // nil unless they are Prepared
}

// New returns the secrets whose value is not empty.
func New(all ...Secret) Secrets {
	all = slices.DeleteFunc(slices.Clone(all), func(s Secret) bool { return s.Value == "" })
	slices.SortFunc(all, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(len(b.Value), len(a.Value)), strings.Compare(a.Value, b.Value), strings.Compare(a.Name, b.Name))
	})
	return Secrets{all: slices.CompactFunc(all, func(a, b Secret) bool { return a.Value == b.Value })}
}

// Prepared returns the same secrets with the tables of a Redactor, which are then built only once. It is for secrets that
// are searched for again and again.
func (s Secrets) Prepared() Secrets {
	s.tables = s.Redactor().tables
	return s
}

// With returns the secrets and these keys, whose mark is "[redacted]".
func (s Secrets) With(keys ...string) Secrets {
	all := slices.Clone(s.all)
	for _, key := range keys {
		all = append(all, Secret{Value: key})
	}
	return New(all...)
}

// Size is how many bytes the names and values have together.
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
