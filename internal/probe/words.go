package probe

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// longestWord is more bytes than the API's names of states have.
const longestWord = 24

// word returns the API's name of a state, or says that it has another form. A text could contain anything.
func word(state string) string {
	isOther := func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' }
	if state == "" || len(state) > longestWord || strings.ContainsFunc(state, isOther) {
		return "(a state without a readable name)"
	}
	return state
}

// answered says in plain words what a failed call met. It quotes the API only where the client has removed keys and links.
func answered(err error) string {
	if e, ok := errors.AsType[*task.SessionError](err); ok {
		return shorten(e.Error())
	}
	if e, ok := errors.AsType[*task.SubmitError](err); ok {
		return status(e.HTTPStatus)
	}
	if e, ok := errors.AsType[*task.StatusError](err); ok {
		return status(e.HTTPStatus)
	}
	return "no answer"
}

// status names an HTTP status.
func status(code int) string {
	if code == 0 {
		return "no answer"
	}
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// shorten bounds a text of the API to what fits a few lines.
func shorten(text string) string {
	const longest = 200
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// rounded is a time for people.
func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// figuresText says what a session has used.
func figuresText(s task.Session) string {
	text := "no steps"
	switch {
	case s.Steps != nil && *s.Steps == 1:
		text = "1 step"
	case s.Steps != nil:
		text = fmt.Sprintf("%d steps", *s.Steps)
	}
	if s.Credits == nil {
		return text + " and no credits in the report"
	}
	return fmt.Sprintf("%s, %.4g credits", text, *s.Credits)
}
