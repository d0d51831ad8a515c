package anchor

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task"
)

// mostSteps is more steps than any agent takes.
const mostSteps = 1_000_000_000

// readSession reads {"data":{"session_id","status","steps","credits_used","tags","created_at"}}. Only status is required.
// Figures that are missing, null or not numbers are nil.
func readSession(body []byte) (s task.Session, err error) {
	d := newDecoder(trimBOM(body))
	err = eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		s, err = readSessionObject(d)
		return err
	})
	if err == nil && s.Status == "" {
		err = errors.New("the answer has no status")
	}
	return s, err
}

// readSessionObject reads the next value as a session. If a name is repeated, the last one counts.
func readSessionObject(d *jsontext.Decoder) (s task.Session, err error) {
	err = eachMember(d, func(name string) error { return readSessionMember(d, strings.ToLower(name), &s) })
	return s, err
}

// readSessionMember reads one member of a session, whose name is in lower case. It keeps no configuration: secrets may be
// in it.
func readSessionMember(d *jsontext.Decoder, name string, s *task.Session) (err error) {
	switch name {
	case "session_id":
		s.ID, err = readString(d)
	case "status":
		s.Status, err = readString(d)
		s.Status = truncate(s.Status)
	case "steps":
		var number *float64
		number, err = readNumber(d)
		s.Steps = wholeNumber(number)
	case "credits_used":
		s.Credits, err = readNumber(d)
	case "tags":
		s.Tags, err = readTags(d)
	case "created_at":
		s.Created, err = readTime(d)
	default:
		return d.SkipValue()
	}
	return err
}

// readNumber reads the next value: a number from 0 on, or a string that is one, as the API has it in places. Anything else is
// nil, such as null and the N/A of a session that runs.
func readNumber(d *jsontext.Decoder) (*float64, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	text := value.String()
	if value.Kind() == '"' {
		unquoted, _ := jsontext.AppendUnquote(nil, value) // an error only reports what became U+FFFD
		text = strings.TrimSpace(string(unquoted))
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil && number >= 0 && !math.IsInf(number, 0) { // false for NaN
		return &number, nil
	}
	return nil, nil
}

// wholeNumber rounds a number up, so that a part of a step is not taken for none.
func wholeNumber(number *float64) *int {
	if number == nil {
		return nil
	}
	return new(int(math.Ceil(min(*number, mostSteps))))
}

// readTags reads the next value: a list, of which the strings count. The API's document has another type in one place,
// which is skipped.
func readTags(d *jsontext.Decoder) (tags []string, err error) {
	if d.PeekKind() != '[' {
		return nil, d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	for d.PeekKind() != ']' {
		if d.PeekKind() != '"' {
			if err := d.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		tag, err := readString(d)
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	_, err = d.ReadToken()
	return tags, err
}

// readTime reads the next value: a time as in RFC 3339. Anything else is the zero time.
func readTime(d *jsontext.Decoder) (time.Time, error) {
	if d.PeekKind() != '"' {
		return time.Time{}, d.SkipValue()
	}
	text, err := readString(d)
	if err != nil {
		return time.Time{}, err
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, nil
}

// readEnd returns an error unless a success says that the session ends: {"data":{"status":"success"}}, or 204 without a
// body. Any status counts but those that say the opposite.
func readEnd(a answer) error {
	if a.status == http.StatusNoContent {
		return nil
	}
	hasData, status := false, ""
	d := newDecoder(trimBOM(a.body))
	err := eachMember(d, func(name string) error {
		if !strings.EqualFold(name, "data") {
			return d.SkipValue()
		}
		hasData = true
		if d.PeekKind() != '{' {
			return d.SkipValue()
		}
		s, err := readSessionObject(d)
		status = s.Status
		return err
	})
	switch {
	case err != nil:
		return err
	case !hasData:
		return errors.New("the answer has no data")
	}
	for _, failed := range []string{"fail", "failed", "failure", "error", "running", "active"} {
		if strings.EqualFold(status, failed) {
			return fmt.Errorf("the API could not end the session: %s", status)
		}
	}
	return nil
}
