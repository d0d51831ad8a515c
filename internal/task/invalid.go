package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// InvalidError says why a message is not a request that can be run.
type InvalidError struct {
	TaskID string // the request's own id if it can be read, else the delivery's default
	// Such as "prompt" or "secret_values.PIN"; empty if no single field is wrong.
	Field string
	// Which field must be what, and what it is. It shows no secret.
	Message  string
	Metadata json.RawMessage // the request's, if it can be read and is valid; else nil
	Batch    string          // the same
}

// Error returns the message.
func (e *InvalidError) Error() string { return e.Message }

// violation is a broken rule, before it is fit to be shown: what came with the request can be long, or a secret.
type violation struct {
	field   string // empty if no single field is wrong
	unknown bool   // there is no such field
	// Our own words: what must hold for the field, or a whole sentence if field is empty.
	rule string
	// The text of the request that breaks the rule; empty if showing it does not help.
	got    string
	detail string // more about it, in words that may quote the request
}

// Error returns the rule. Nothing of the request is in it.
func (v *violation) Error() string { return v.rule }

// inField puts the name before the place of a violation inside the field.
func inField(name string, err error) error {
	if v, ok := errors.AsType[*violation](err); ok {
		v.field = name + v.field
	}
	return err
}

// Bounds of what an error shows.
const (
	// Bytes of a field's content that a message shows.
	maxShown = 80
	// Bytes of an error's message, which may quote the request or the API.
	maxMessage = 2 << 10
)

// invalid returns the violation as an error that may be shown: short, without secrets, and with what can still be read of
// the request.
func (v *violation) invalid(d Delivery) *InvalidError {
	data := withoutMark(d.Data)
	var all []member
	if json.Valid(data) {
		all = members(data)
	}
	clean := redactorOf(data)
	shown := func(text string) string { return truncate(clean(text), maxShown) }
	e := &InvalidError{TaskID: taskID(d, all), Field: v.shownField(shown)}
	switch {
	case v.unknown:
		e.Message = fmt.Sprintf("unknown field %s; %s", strconv.Quote(e.Field), v.rule)
	case v.field == "":
		e.Message = v.rule
	default:
		e.Message = e.Field + " " + v.rule
	}
	if v.got != "" {
		e.Message += " (got " + strconv.Quote(shown(v.got)) + ")"
	}
	if v.detail != "" {
		e.Message += ": " + truncate(clean(v.detail), maxMessage)
	}
	// The event of the refusal returns the metadata, so it must keep the rules that it would have to keep
	// in a valid request.
	if metadata := valueOf(all, "metadata"); utf8.Valid(metadata) && checkMetadata(metadata) == nil && checkTokens(metadata) == nil {
		e.Metadata = bytes.Clone(metadata)
	}
	if batch := textOf(valueOf(all, "batch")); isBatch(batch) {
		e.Batch = batch
	}
	return e
}

// redactorOf returns a function that redacts the secrets of a request, which may break any rule, from a text. If the
// request has too many secrets, it redacts the whole text.
func redactorOf(data []byte) func(text string) string {
	secrets, ok := secretsIn(data)
	if !ok {
		// A text could contain any of those that are not searched for.
		return func(string) string { return redact.Bare }
	}
	return secrets.Redactor().Text
}

// shownField returns the field's name as it may be shown. Only names that come from the request need care.
func (v *violation) shownField(shown func(string) string) string {
	name, inside, ok := strings.Cut(v.field, ".")
	switch {
	case !isField(name):
		return shown(v.field)
	case ok:
		return name + "." + shown(inside)
	default:
		return name
	}
}

// truncate shortens a text to limit bytes and an ellipsis, between two characters. A shorter text stays as it is.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
