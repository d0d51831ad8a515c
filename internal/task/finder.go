package task

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// finder looks for secrets in the bytes of a request that may be broken.
type finder struct {
	data    []byte
	valid   bool     // data is JSON
	cuts    []piece  // what is to be replaced, in order
	secrets []secret // what is to be replaced elsewhere as well
}

// piece is a part of the data that is to be replaced: by a text or, where there is none, by the mark of
// its name.
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
			name := unquoteAny(f.data[at:end])
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
	text := []byte(unquoteAny(f.data[from:to]))
	if !json.Valid(text) {
		return
	}
	if in := findSecrets(text); len(in.cuts) > 0 {
		f.cuts = append(f.cuts, piece{from: from, to: to, text: quote(string(in.redact()))})
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

// value takes out what stands behind the name that announces secrets: of an object the value of each
// member, of anything else the whole. It returns where that ends.
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
	for end < len(f.data) && strings.IndexByte(":,}", f.data[end]) < 0 {
		end = literalEnd(f.data, end)
	}
	if end == len(f.data) || f.data[end] != ':' {
		f.cut("", at, end)
		return end
	}
	return f.take(unquoteAny(bytes.TrimSpace(f.data[at:end])), f.skipSpace(end+1))
}

// take takes out the value that begins at from, and returns where to go on: behind it, and in any case
// further on.
func (f *finder) take(name string, from int) int {
	to := f.valueEnd(from)
	f.cut(name, from, to)
	return max(to, min(from+1, len(f.data)))
}

// valueEnd returns where the value that begins at from ends: at a comma or a bracket that is not its own.
func (f *finder) valueEnd(from int) int {
	depth := 0
	for at := from; at < len(f.data); at = literalEnd(f.data, at) {
		switch f.data[at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth < 0 || depth == 0 && f.data[at] == ',' {
			return at
		}
	}
	return len(f.data)
}

// cut marks the stretch to be replaced, but for the blanks around it.
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
			f.note(secret{name: name, value: unquoteAny(value[at:end])})
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
	for at < len(f.data) && strings.IndexByte(" \t\r\n", f.data[at]) >= 0 {
		at++
	}
	return at
}
