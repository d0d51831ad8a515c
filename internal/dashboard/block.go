package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// block is a long text of a task.
type block struct {
	Part   string // its name in an address
	Title  string
	Text   string
	Whole  string // address of the whole text, or "" if it is not cut
	Size   int    // bytes of the whole
	Note   string
	IsOpen bool // shown at once
}

// newBlock returns a block with the beginning of a text.
func newBlock(id, part, title, text string, isOpen bool) block {
	b := block{Part: part, Title: title, Size: len(text), IsOpen: isOpen}
	short, isCut := cut(text, mostText)
	if b.Text = short; isCut {
		b.Whole = taskURL(id) + "/" + part
	}
	return b
}

// blocksOf returns the result or the error of a task, its record, and its event.
func blocksOf(t inspect.Task) (all []block) {
	add := func(part, title string, isOpen bool) {
		if text := partOf(t, part); text != "" {
			all = append(all, newBlock(t.ID, part, title, text, isOpen))
		}
	}
	add("error", "Error", true)
	add("result", "Result", true)
	if e := t.Event; e != nil && e.ResultRef != nil {
		all = append(all, block{
			Part: "result", Title: "Result", IsOpen: true,
			Note: fmt.Sprintf("The result has %s bytes, too many for a message. It is in the object store %s: nats object get %s %s",
				grouped(int(min(e.ResultRef.Size, 1<<62))), line(e.ResultRef.Bucket), shellQuoted(line(e.ResultRef.Bucket)), shellQuoted(line(e.ResultRef.Name))),
		})
	}
	add("raw-result", "What Anchor sent", false)
	add("metadata", "Metadata", false)
	add("event", "Event", false)
	add("record", "Record", false)
	return all
}

// partOf returns a part of a task as text, or "" if the task has none.
func partOf(t inspect.Task, part string) string {
	e := t.Event
	switch {
	case part == "record" && t.Record != nil:
		return pretty(t.Record.JSON())
	case e == nil:
		return ""
	case part == "error" && e.Error != nil:
		return string(e.Error.Code) + ": " + e.Error.Message
	case part == "result":
		return textOf(e.Result)
	case part == "raw-result":
		return textOf(e.RawResult)
	case part == "metadata":
		return textOf(e.Metadata)
	case part == "event":
		if data, err := e.JSON(); err == nil {
			return pretty(data)
		}
	}
	return ""
}

// textOf returns a JSON value for people: a string as its text, anything else with a line for each value.
func textOf(value json.RawMessage) string {
	var text string
	if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil {
		return text
	}
	return pretty(value)
}

// mostCommand is how long a command to copy is, at most, in bytes. Shells take little more.
const mostCommand = 64 << 10

// addRequest adds the request of a task to its page, and the command that publishes it.
func (s *Server) addRequest(ctx context.Context, v *taskView, t inspect.Task) {
	request, err := s.board.Request(ctx, t)
	switch {
	case errors.Is(err, operator.ErrNoRequest):
		v.NoCommand = "The request is no longer stored."
		return
	case err != nil:
		v.NoCommand = "The request could not be read: " + line(err.Error())
		return
	}
	b := newBlock(t.ID, "request", "Request", pretty(request), true)
	if len(task.RedactionMarks(request)) > 0 {
		b.Note = "Its secrets are redacted: put them in before you publish it again."
	}
	outcome := slices.IndexFunc(v.Blocks, func(b block) bool { return !b.IsOpen })
	if outcome < 0 {
		outcome = len(v.Blocks)
	}
	v.Blocks = slices.Insert(v.Blocks, outcome, b)
	if len(request) > mostCommand {
		v.NoCommand = "The request is too long for a command."
		return
	}
	v.Command = fmt.Sprintf("nats pub --jetstream --no-templates %s %s", s.queue.Config.Request.Subject, shellQuoted(string(request)))
}

// serveWhole answers with a part of a task as plain text, which no browser runs.
func (s *Server) serveWhole(w http.ResponseWriter, r *http.Request) {
	_, found, err := s.findTask(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	part := r.PathValue("part")
	text := partOf(found, part)
	if part == "request" {
		request, err := s.board.Request(r.Context(), found)
		if err != nil && !errors.Is(err, operator.ErrNoRequest) {
			s.fail(w, r, err)
			return
		}
		text = pretty(request)
	}
	if text == "" {
		s.fail(w, r, problem{http.StatusNotFound, fmt.Sprintf("Task %s has no %.40q.", found.ID, part)})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	_, _ = w.Write(visible([]byte(strings.ToValidUTF8(text, "\uFFFD")))) // the visitor has gone
}
