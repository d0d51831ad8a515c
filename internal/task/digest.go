package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// digest returns the hex SHA-256 of the request's canonical JSON: members sorted by name, no white
// space, strings as json.Marshal writes them but for halves of surrogate pairs, which stay escapes, numbers
// as they were written. Secrets and metadata are
// left out, because they may change between two copies of a request, and task_id is the resolved one,
// because it may stand in the body or in the header.
func digest(all []member, taskID string) string {
	content := []member{{"task_id", appendQuoted(nil, taskID, true)}}
	for _, m := range all {
		if m.name != secretValues && m.name != "metadata" && m.name != "task_id" {
			content = append(content, m)
		}
	}
	sortByName(content)
	sum := sha256.New()
	for i, m := range content {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		t := tokens{data: m.value}
		sum.Write(append(appendExact([]byte(separator), m.name), ':'))
		sum.Write(canonical(&t, t.next()))
	}
	sum.Write([]byte("}"))
	return hex.EncodeToString(sum.Sum(nil))
}

func sortByName(all []member) {
	slices.SortFunc(all, func(a, b member) int { return strings.Compare(a.name, b.name) })
}

// canonical returns the canonical form of the value that begins with this token. It may be a part of the
// tokens' own bytes.
func canonical(t *tokens, token []byte) []byte {
	switch token[0] {
	case '{':
		var all []member
		for name := t.next(); name[0] != '}'; name = t.next() {
			all = append(all, member{string(exact(name)), canonical(t, t.next())})
		}
		return canonicalObject(all)
	case '[':
		b := []byte{'['}
		for item := t.next(); item[0] != ']'; item = t.next() {
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(b, canonical(t, item)...)
		}
		return append(b, ']')
	case '"':
		return canonicalString(token)
	default:
		return token
	}
}

// canonicalObject returns the object of these members, whose values are canonical. It sorts them.
func canonicalObject(all []member) []byte {
	sortByName(all)
	b := append(make([]byte, 0, sizeOf(all)), '{')
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendExact(b, m.name)
		b = append(b, ':')
		b = append(b, m.value...)
	}
	return append(b, '}')
}

func canonicalString(literal []byte) []byte {
	if isCanonical(literal) {
		return literal
	}
	return appendExact(nil, string(exact(literal)))
}

// appendExact appends what exact returned as a JSON string, with the escapes that HTML needs.
func appendExact(b []byte, text string) []byte {
	part, rest, more := strings.Cut(text, halfMark)
	b = appendQuoted(b, part, true)
	for more {
		half := rest[:len("d800")]
		part, rest, more = strings.Cut(rest[len(half):], halfMark)
		b = append(b[:len(b)-1], `\u`...) // the quote goes behind the rest
		b = append(b, half...)
		b = append(b, appendQuoted(nil, part, true)[1:]...)
	}
	return b
}

// isCanonical reports whether json.Marshal would write this string as it stands. It has to be UTF-8.
func isCanonical(literal []byte) bool {
	for i := 0; i < len(literal); i++ {
		switch literal[i] {
		case '<', '>', '&':
			return false
		case '\\':
			i++
			if strings.IndexByte(`"\bfnrt`, literal[i]) < 0 {
				return false
			}
		}
	}
	return !bytes.Contains(literal, []byte("\u2028")) && !bytes.Contains(literal, []byte("\u2029"))
}
