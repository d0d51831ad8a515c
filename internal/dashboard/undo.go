package dashboard

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// undoURL returns the address of the page that takes a cancellation back: of a "task" or a "batch".
func undoURL(kind, name string) string { return withQuery("/cancel/undo", kind, name) }

// undoOf returns the address of the page that takes the cancellation of a task back, or that of its batch, and the text of the
// button that leads there. They are "" if neither is canceled.
func (s *Server) undoOf(t inspect.Task) (address, text string) {
	batch := s.board.Entries(t.ID)[0].Batch // also of a queued task
	_, isBatchCanceled := s.board.Snapshot().Canceled[batch]
	switch {
	case t.Cancel == nil:
		return "", ""
	case isBatchCanceled:
		return undoURL("batch", batch), "Take back the cancellation of the batch…"
	default:
		return undoURL("task", t.ID), "Take back the cancellation…"
	}
}

// askUndo says which cancellation would be taken back.
func (s *Server) askUndo(w http.ResponseWriter, r *http.Request) {
	t, err := targetOf(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c, err := s.queue.Cancellation(r.Context(), t.task, t.batch)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q := question{Act: "/cancel/undo", Button: "Take it back", Back: t.page(), Fields: url.Values{}}
	if t.task != "" {
		q.Heading, q.Command = "Take back the cancellation of task "+t.task, "capstan cancel --undo "+shellQuoted(t.task)
		q.Fields.Set("task", t.task)
		q.What = whatUndoDoes("Task "+t.task, c, "If a worker has ended the task already, it stays ended.")
	} else {
		q.Heading, q.Command = "Take back the cancellation of batch "+t.batch, "capstan cancel --undo --batch "+shellQuoted(t.batch)
		q.Fields.Set("batch", t.batch)
		q.What = whatUndoDoes("Batch "+t.batch, c, "Tasks that it has ended stay ended. Those that are queued, and those that are submitted later, run.")
	}
	s.askQuestion(w, r, q)
}

// whatUndoDoes says what happens when a cancellation is taken back; c is nil if there is none.
func whatUndoDoes(name string, c *task.Cancellation, effect string) []string {
	if c == nil {
		return []string{name + " is not canceled, so this changes nothing."}
	}
	return []string{name + " is " + c.String() + ".", effect}
}

// doUndo takes a cancellation back.
func (s *Server) doUndo(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(formOf(r))
	if err != nil {
		return err
	}
	var text string
	if t.task != "" {
		text, err = s.undoTask(r, t.task)
	} else {
		text, err = s.undoBatch(r, t.batch)
	}
	if err != nil {
		return err
	}
	s.done(w, t.page(), text)
	return nil
}

// undoTask takes the cancellation of a task back, and says what that changes.
func (s *Server) undoTask(r *http.Request, id string) (string, error) {
	all, err := steer.UndoCancel(r.Context(), s.queue, []string{id})
	if err != nil {
		return "", err
	}
	u := all[0]
	if u.Was != nil {
		s.log.Info().Str("remote", r.RemoteAddr).Str("task", id).Str("stage", string(u.Stage)).Msg("cancellation of a task taken back by a visitor")
	}
	switch {
	case u.CanceledBatch != "" && u.Stage != steer.StageEnded:
		return fmt.Sprintf("Task %s is still canceled, with its batch %s.", id, u.CanceledBatch), nil
	case u.Was == nil:
		return fmt.Sprintf("Task %s was not canceled, so nothing was done.", id), nil
	case u.Stage == steer.StageEnded:
		return fmt.Sprintf("The cancellation of task %s was taken back, but the task has ended.", id), nil
	default:
		return fmt.Sprintf("The cancellation of task %s was taken back.", id), nil
	}
}

// undoBatch takes the cancellation of a batch back, and says whether there was one.
func (s *Server) undoBatch(r *http.Request, name string) (string, error) {
	was, err := steer.UndoCancelBatch(r.Context(), s.queue, name)
	if err != nil {
		return "", err
	}
	if was == nil {
		return fmt.Sprintf("Batch %s was not canceled, so nothing was done.", name), nil
	}
	s.log.Info().Str("remote", r.RemoteAddr).Str("batch", name).Msg("cancellation of a batch taken back by a visitor")
	return fmt.Sprintf("Batch %s is no longer canceled.", name), nil
}
