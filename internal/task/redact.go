package task

import (
	"bytes"
	"encoding/json"
	"regexp"
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
			c.text = quoteJSON(secrets.markOf(c.name))
		}
		b.Write(c.text)
		done = c.to
	}
	write(f.data[done:])
	return b.Bytes()
}

// secretsIn returns the secrets that can be read of a request, broken ones included.
func secretsIn(data []byte) Secrets { return newSecrets(findSecrets(data).secrets) }

// finder looks for secrets in the bytes of a request that may be broken.
type finder struct {
	data    []byte
	valid   bool // data is JSON
	cuts    []piece
	secrets []secret
}

// piece is a part of the data that is to be replaced: by the mark of its name, or by a text.
type piece struct {
	from, to int
	name     string
	text     []byte
}

func findSecrets(data []byte) *finder {
	f := &finder{data: data, valid: json.Valid(data)}
	if f.valid {
		f.searchJSON()
	} else {
		f.searchText()
	}
	return f
}

var (
	secretName = regexp.MustCompile(`(?i)^(secret[_-]?values?|secrets)$`)
	secretText = regexp.MustCompile(`(?i)(secret[_-]?values?|secrets)\\*["']?\s*:`)
)

// searchJSON finds the names that announce secrets, and JSON inside strings.
func (f *finder) searchJSON() {
	depth, top := 0, ""
	for at := 0; at < len(f.data); {
		end := literalEnd(f.data, at)
		switch f.data[at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			colon := f.skipSpace(end)
			if colon == len(f.data) || f.data[colon] != ':' {
				f.inner(at, end)
				break
			}
			name := unquoteJSON(f.data[at:end])
			if depth == 1 {
				top = name
			}
			if secretName.MatchString(name) && top != "output_schema" && top != "metadata" {
				end = f.value(colon + 1)
			}
		}
		at = end
	}
}

// inner looks into a string that is JSON itself, as of a request that was encoded twice.
func (f *finder) inner(from, to int) {
	if !secretText.Match(f.data[from:to]) {
		return
	}
	text := []byte(unquoteJSON(f.data[from:to]))
	if !json.Valid(text) {
		return
	}
	if in := findSecrets(text); len(in.cuts) > 0 {
		f.cuts = append(f.cuts, piece{from: from, to: to, text: quoteJSON(string(in.redact()))})
		f.note(in.secrets...)
	}
}

// searchText finds what looks like such a name, where the JSON around it cannot be relied on.
func (f *finder) searchText() {
	for at := 0; ; {
		found := secretText.FindIndex(f.data[at:])
		if found == nil {
			return
		}
		at = f.value(at + found[1])
	}
}

// value takes out what stands behind the name, and returns where it ends.
func (f *finder) value(at int) int {
	at = f.skipSpace(at)
	if at == len(f.data) || f.data[at] != '{' {
		return f.take("", at)
	}
	for at++; ; {
		at = f.skipSpace(at)
		switch {
		case at == len(f.data):
			return at
		case f.data[at] == '}':
			return at + 1
		case f.data[at] == ',':
			at++
		default:
			at = f.member(at)
		}
	}
}

// member takes out the value of one secret; without a colon, what stands in its place.
func (f *finder) member(at int) int {
	end := at
	for end < len(f.data) && bytes.IndexByte([]byte(":,}"), f.data[end]) < 0 {
		end = literalEnd(f.data, end)
	}
	if end == len(f.data) || f.data[end] != ':' {
		f.cut("", at, end)
		return end
	}
	return f.take(unquoteJSON(bytes.TrimSpace(f.data[at:end])), f.skipSpace(end+1))
}

// take takes out the value that begins at from, and returns where it ends: at a comma or a bracket that
// is not its own.
func (f *finder) take(name string, from int) int {
	to, depth := from, 0
scan:
	for to < len(f.data) {
		switch f.data[to] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth < 0 || depth == 0 && f.data[to] == ',' {
			break scan
		}
		to = literalEnd(f.data, to)
	}
	f.cut(name, from, to)
	return max(to, min(from+1, len(f.data)))
}

func (f *finder) cut(name string, from, to int) {
	if value := bytes.TrimSpace(f.data[from:to]); len(value) > 0 {
		f.cuts = append(f.cuts, piece{from: from, to: from + len(value), name: name})
		f.collect(name, value)
	}
}

// collect notes the strings and numbers of a value that was taken out.
func (f *finder) collect(name string, value []byte) {
	for at := 0; at < len(value); {
		end := literalEnd(value, at)
		switch {
		case value[at] == '"':
			f.note(secret{name: name, value: unquoteJSON(value[at:end])})
		case isNumber(value[at]):
			f.note(secret{name: name, value: string(value[at:end])})
		}
		at = end
	}
}

// note keeps the secrets to be replaced elsewhere: as many as a request may have.
func (f *finder) note(secrets ...secret) {
	f.secrets = append(f.secrets, secrets[:min(len(secrets), maxSecrets-len(f.secrets))]...)
}

func (f *finder) skipSpace(at int) int {
	for at < len(f.data) && bytes.IndexByte([]byte(" \t\r\n"), f.data[at]) >= 0 {
		at++
	}
	return at
}
