package task

import (
	"regexp"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// maxRedacted is how many values a refused request may have that have to be looked for everywhere.
const maxRedacted = 1000

// NoBody is the reason, for people, why a refused request is kept without its body.
const NoBody = "the body is not kept, because its secret_values cannot be told from the rest"

// RedactRequest returns the body that may be kept of a request that is refused, or false where none may.
//
// In JSON each value under secret_values, of whatever type, becomes "[redacted:NAME]", a secret_values that is no object becomes
// "[redacted]", and the same values elsewhere are redacted as well. A near spelling of secret_values counts, and so does one further inside or in
// a string that is JSON itself, but not in output_schema and metadata, where it is a word like any other. Where there is nothing to hide, the
// body is data itself.
//
// Of bytes that are not JSON it cannot be told where a secret ends: where they mention secret_values, no body may be kept, and
// otherwise it is data itself. No body may be kept of more than 1000 different values, either.
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

// secretsIn returns the secrets that can be read of a request that may break any rule, or false where there are too many.
func secretsIn(data []byte) (redact.Secrets, bool) {
	if !isJSON(data) {
		return redact.Secrets{}, true
	}
	s := searchSecrets(data)
	return redact.New(s.values()...), !s.tooMany
}

// mentionsSecrets reports whether the name of secret_values stands in a text, in any spelling, escaped or not, and in UTF-16.
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

var (
	secretName = regexp.MustCompile(`(?i)^(secret[_-]?values?|secrets)$`)
	secretText = regexp.MustCompile(`(?i)(secret[_-]?values?|secrets)\\*["']?\s*:`)
)

// eachSecret calls value for each value under a name that announces secrets, and inner for each string that is JSON
// itself and may have such names. The data must be JSON.
func eachSecret(data []byte, value func(name string, from, to int), inner func(text []byte, from, to int)) {
	content := withoutMark(data)
	before, top := len(data)-len(content), ""
	for dec := newDecoder(content); ; {
		literal, err := readLiteral(dec)
		if err != nil {
			return // the end
		}
		end := before + int(dec.InputOffset())
		switch {
		case literal.Kind() != '"':
		case lastWasName(dec):
			name := textOf(literal)
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

// secretSearch gathers the different values of secrets.
type secretSearch struct {
	any     bool
	tooMany bool
	names   map[string]string // by the value
}

func searchSecrets(data []byte) *secretSearch {
	s := &secretSearch{names: map[string]string{}}
	s.search(data)
	return s
}

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
	for dec := newDecoder(value); !s.tooMany; {
		literal, err := readLiteral(dec)
		if err != nil {
			return // the end
		}
		if !lastWasName(dec) {
			s.addLiteral(name, literal)
		}
	}
}

func (s *secretSearch) addLiteral(name string, literal jsontext.Value) {
	switch literal.Kind() {
	case '0':
		s.note(name, string(literal))
	case '"':
		s.note(name, textOf(literal))
		if !utf8.Valid(literal) {
			s.note(name, string(literal[1:len(literal)-1])) // a text that is not JSON repeats it as it came
		}
	}
}

func (s *secretSearch) note(name, value string) {
	if _, ok := s.names[value]; !ok && value != "" {
		s.names[value] = name
		s.tooMany = len(s.names) > maxRedacted
	}
}

func (s *secretSearch) values() []redact.Secret {
	all := make([]redact.Secret, 0, len(s.names))
	for value, name := range s.names {
		all = append(all, redact.Secret{Name: name, Value: value})
	}
	return all
}

// redactJSON returns the data with marks in the place of secrets, wherever they stand.
func redactJSON(r *redact.Redactor, data []byte) []byte {
	return r.Compose(len(data), func(b *redact.Builder) {
		done := 0
		before := func(from, to int) {
			b.JSON(data[done:from])
			done = to
		}
		eachSecret(data,
			func(name string, from, to int) {
				before(from, to)
				b.Mark(name)
			},
			func(text []byte, from, to int) {
				if s := searchSecrets(text); s.any {
					before(from, to)
					b.Raw(quote(string(redactJSON(r, text))))
				}
			})
		b.JSON(data[done:])
	})
}
