package task

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// fault is a broken rule, before it is fit to be shown: what came with the request can be long, or a
// secret. The rule is always in our own words.
type fault struct {
	field  string // empty for the request as a whole
	holds  string // the offending text, where showing it helps
	rule   string // what is wrong or what would do
	detail string // more of it, in words that may quote the request
}

func (f *fault) Error() string { return f.field + ": " + f.rule }

// maxShown bounds what a message shows of a field's content, in bytes.
const maxShown = 80

// inMessage makes the fault of a message fit to be shown: short, without secrets, and with what can
// still be read of the request.
func (f *fault) inMessage(d Delivery) *InvalidError {
	data := withoutMark(d.Data)
	secrets, known := secretsIn(data)
	redactor := secrets.Redactor()
	clean := func(s string) string {
		if !known {
			return redact.Bare
		}
		return redactor.Text(s)
	}
	show := func(s string) string { return cut(clean(s), maxShown) }
	var all []member
	if json.Valid(data) {
		all = members(data)
	}
	e := &InvalidError{TaskID: taskID(d, all), Field: f.field, Rule: f.rule}
	if name, inside, ok := strings.Cut(f.field, "."); !isField(name) {
		e.Field = show(f.field)
	} else if ok {
		e.Field = name + "." + show(inside)
	}
	if f.holds != "" {
		e.Rule = "is " + strconv.Quote(show(f.holds)) + "; " + e.Rule
	}
	if f.detail != "" {
		e.Rule += ": " + cut(clean(f.detail), maxMessage)
	}
	if metadata := valueOf(all, "metadata"); utf8.Valid(metadata) && len(metadata) <= maxMetadata &&
		kindOf(metadata) == "an object" && checkTokens(metadata) == nil {
		e.Metadata = bytes.Clone(metadata)
	}
	return e
}

// cut shortens text to about limit bytes, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
