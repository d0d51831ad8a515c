package task

import (
	"bytes"
	"encoding/json"
	"strings"
)

// RedactRequest returns the bytes of a request that is refused, without its secrets: each value under
// secret_values, of whatever type, is "[redacted:NAME]", a secret_values that is no object "[redacted]",
// and the same values elsewhere are replaced as well. A near spelling of secret_values counts, and so
// does one further inside, but not in output_schema and metadata, where it is a word like any other.
//
// JSON stays JSON. In text that is none, what can be recognized is replaced, rather too much than too
// little. Where there is nothing to hide, data itself is returned.
func RedactRequest(data []byte) []byte {
	return findSecrets(data).redact()
}

// secretsIn returns the secrets that can be read of a request, broken ones included.
func secretsIn(data []byte) Secrets { return newSecrets(findSecrets(data).secrets) }

// redact returns the data with the marks in it.
func (f *finder) redact() []byte {
	if len(f.cuts) == 0 {
		return f.data
	}
	secrets := newSecrets(f.secrets)
	var b bytes.Buffer
	write := func(part []byte) {
		if f.valid {
			b.Write(secrets.JSON(part))
		} else {
			b.WriteString(secrets.Text(string(part)))
		}
	}
	done := 0
	for _, c := range f.cuts {
		write(f.data[done:c.from])
		if c.text == nil {
			c.text = quote(secrets.markOf(c.name))
		}
		b.Write(c.text)
		done = c.to
	}
	write(f.data[done:])
	return b.Bytes()
}

// unquoteAny returns the text of a JSON string, or what stands between the quotes of a broken one.
func unquoteAny(literal []byte) string {
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return strings.Trim(string(literal), `"`)
	}
	return text
}
