package task

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// maxRedacted is how many different secrets a refused request may have: its body is searched for each of them.
const maxRedacted = 1000

// NoBody explains to people why a refused request is kept without its body.
const NoBody = "the body is not kept, because its secret_values cannot be redacted"

// RedactRequest returns what may be kept of the body of a refused request, or false if nothing may.
//
// In JSON each value under secret_values becomes "[redacted:NAME]", of any type. A secret_values that is not an
// object becomes "[redacted]". The same values are redacted everywhere else. The name counts in other spellings, too, at
// any depth and in a string that is JSON itself; but not in output_schema and metadata, where it is a name like any
// other. If there is nothing to redact, the body is data itself.
//
// In bytes that are not JSON it is unknown where a secret ends. If they mention secret_values, nothing may be kept, else
// the body is data itself. Nothing may be kept of a request with more than 1000 different secrets, either.
func RedactRequest(data []byte) (body []byte, kept bool) {
	if !isJSON(data) {
		if mentionsSecrets(data) {
			return nil, false
		}
		return data, true
	}
	s := searchSecrets(data)
	switch {
	case !s.any:
		return data, true
	case s.tooMany:
		return nil, false
	}
	return redactJSON(redact.New(s.values()...).Redactor(), data), true
}

// RedactionMarks returns the marks that stand in data in the place of values under secret_values, in any order: those that
// RedactRequest has put there.
func RedactionMarks(data []byte) (marks []string) {
	if !bytes.Contains(data, []byte("[redacted")) && !bytes.Contains(data, []byte(`"`+redact.Short+`"`)) || !isJSON(data) {
		return nil // which is most often so, and quickly told
	}
	for value := range searchSecrets(data).names {
		if value == redact.Bare || value == redact.Short || strings.HasPrefix(value, "[redacted:") && strings.HasSuffix(value, "]") {
			marks = append(marks, value)
		}
	}
	return marks
}

// secretsIn returns the secrets of a request that may break any rule, as far as they can be read, or false if there are too
// many.
func secretsIn(data []byte) (redact.Secrets, bool) {
	if !isJSON(data) {
		return redact.Secrets{}, true
	}
	s := searchSecrets(data)
	return redact.New(s.values()...), !s.tooMany
}

// mentionsSecrets reports whether a text has the name secret_values, in any spelling, escaped or not, in
// ASCII or UTF-16. It drops the zero bytes, which leaves the ASCII of UTF-16.
func mentionsSecrets(data []byte) bool {
	text := make([]byte, 0, len(data))
	for _, b := range data {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != 0 {
			text = append(text, b)
		}
	}
	names := redact.New(redact.Secret{Value: "secret_value"}, redact.Secret{Value: "secret-value"}, redact.Secret{Value: "secretvalue"})
	return names.Redactor().Finds(text) || secretText.Match(text)
}

// secretName matches a name that announces secrets. secretText matches such a name in a text that may be
// JSON: escaped or not, in quotes or not, with a colon after it.
var (
	secretName = regexp.MustCompile(`(?i)^(secret[_-]?values?|secrets)$`)
	secretText = regexp.MustCompile(`(?i)(secret[_-]?values?|secrets)\\*["']?\s*:`)
)

// eachSecret calls value for each value under a name that announces secrets, and inner for each string that is JSON
// itself and may have such names. The data must be JSON.
func eachSecret(data []byte, value func(name string, from, to int), inner func(text []byte, from, to int)) {
	content := withoutMark(data)
	before, top := len(data)-len(content), ""
	dec := newDecoder(content)
	for literal := range literals(dec) {
		end := before + int(dec.InputOffset())
		switch {
		case literal.Kind() != '"':
		case lastWasName(dec):
			name := textOf(literal)
			// At this depth a name is that of a field.
			if dec.StackDepth() == 1 {
				top = name
			}
			if secretName.MatchString(name) && top != "output_schema" && top != "metadata" {
				secret, _ := dec.ReadValue()
				eachSecretValue(secret, before+int(dec.InputOffset())-len(secret), value)
			}
		case secretText.Match(literal):
			if text := []byte(textOf(literal)); isJSON(text) {
				inner(text, end-len(literal), end)
			}
		}
	}
}

// eachSecretValue calls value for each member of an object that begins at this place, or once for any other value.
func eachSecretValue(secret []byte, begin int, value func(name string, from, to int)) {
	if jsontext.Value(secret).Kind() != '{' {
		value("", begin, begin+len(secret))
		return
	}
	for m := range eachMember(secret) {
		value(m.name, begin+m.begin, begin+m.begin+len(m.value))
	}
}

// secretSearch collects the different secrets of a request.
type secretSearch struct {
	any     bool              // there is a name that announces secrets
	tooMany bool              // more than maxRedacted: the others are not collected
	names   map[string]string // by the value
}

// searchSecrets collects the secrets of data, which must be JSON.
func searchSecrets(data []byte) *secretSearch {
	s := &secretSearch{names: map[string]string{}}
	s.search(data)
	return s
}

// search also looks into strings that are JSON themselves, however deep.
func (s *secretSearch) search(data []byte) {
	eachSecret(data,
		func(name string, from, to int) {
			s.any = true
			s.add(name, data[from:to])
		},
		func(text []byte, _, _ int) { s.search(text) })
}

// add notes the strings and numbers of a value.
func (s *secretSearch) add(name string, value []byte) {
	if kind := jsontext.Value(value).Kind(); kind != '{' && kind != '[' {
		s.addLiteral(name, value)
		return
	}
	dec := newDecoder(value)
	for literal := range literals(dec) {
		if !lastWasName(dec) {
			s.addLiteral(name, literal)
		}
	}
}

// addLiteral notes a string or a number. true, false and null are no secrets: redacting them would destroy
// the whole text.
func (s *secretSearch) addLiteral(name string, literal jsontext.Value) {
	if literal.Kind() == '0' {
		s.note(name, string(literal))
	}
	if literal.Kind() == '"' {
		s.note(name, textOf(literal))
		if !utf8.Valid(literal) {
			// A text that is not JSON repeats it as it came.
			s.note(name, string(literal[1:len(literal)-1]))
		}
	}
}

// note keeps the first name that a value comes with.
func (s *secretSearch) note(name, value string) {
	if _, known := s.names[value]; known || value == "" || s.tooMany {
		return
	}
	s.names[value] = name
	s.tooMany = len(s.names) > maxRedacted
}

// values returns the secrets in no order; redact.New sorts them.
func (s *secretSearch) values() []redact.Secret {
	all := make([]redact.Secret, 0, len(s.names))
	for value, name := range s.names {
		all = append(all, redact.Secret{Name: name, Value: value})
	}
	return all
}

// redactJSON returns the data with marks in the place of its secrets.
func redactJSON(r *redact.Redactor, data []byte) []byte {
	return r.Compose(len(data), func(b *redact.Builder) {
		written := 0 // of data
		// Everything before the secret is searched for the same values.
		replace := func(from, to int) {
			b.JSON(data[written:from])
			written = to
		}
		eachSecret(data,
			func(name string, from, to int) {
				replace(from, to)
				b.Mark(name)
			},
			func(text []byte, from, to int) {
				if s := searchSecrets(text); s.any {
					replace(from, to)
					b.Raw(quote(string(redactJSON(r, text))))
				}
			})
		b.JSON(data[written:])
	})
}
