package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// maxLetters bounds the requests that are in memory at once to become dead letters: each can have 1 MiB, several times.
	maxLetters = 8

	// letterTime bounds the time for which a task waits until its request is kept: longer than an outage of NATS usually is.
	letterTime = 5 * time.Minute

	// seeEvent is the reason of a dead letter that is written when the text of the event is not at hand.
	seeEvent = "see the event of the task"
)

// keepFailed keeps the request of a task that failed, so that an operator can run it again. It reads the request again: it
// was dropped from memory when it was submitted, and is on its stream until it is acknowledged.
func (r *run) keepFailed(ctx context.Context, ev *task.Event) error {
	if ev.Error == nil {
		return nil
	}
	isRefused := ev.RefusesRequest() || ev.Error.Code == task.InvalidRequest
	if !isRefused && !r.cfg.KeepFailed {
		return nil
	}
	if err := r.letters.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.letters.Release(1)
	d, err := r.Requests.Read(ctx, r.req.Delivery.Seq)
	if errors.Is(err, task.ErrNoRequest) || err == nil && !d.Stored.Equal(r.req.Delivery.Stored) {
		r.log.Warn().Str("task", ev.TaskID).Msg("request of a failed task not kept, it is no longer stored")
		return nil
	}
	if err != nil {
		return err
	}
	d.OnBusy = r.req.Delivery.OnBusy
	letter := task.DeadLetter{TaskID: ev.TaskID, Code: ev.Error.Code, Host: r.req.Host, Batch: r.req.Batch, Reason: cmp.Or(ev.Error.Message, seeEvent)}
	// A task that was refused has nothing but its letter. Any other has an event of its own, so a full stream of dead
	// letters must not stop the queue.
	letter.Optional = !isRefused
	bounded, cancel := context.WithTimeout(ctx, letterTime)
	defer cancel()
	if isRefused {
		bounded = ctx
	}
	err = r.deadLetter(bounded, d, letter)
	if !errors.Is(err, task.ErrLetterRefused) && (err == nil || bounded.Err() == nil) {
		return err
	}
	r.metrics.lettersRefused.Inc()
	r.log.Error().Str("task", ev.TaskID).Msg("request of a failed task not kept, the dead-letter stream refused it")
	return nil
}

// deadLetter stores a request as a dead letter, without its secrets and the API keys of this worker.
func (p *Pipeline) deadLetter(ctx context.Context, d task.Delivery, letter task.DeadLetter) error {
	kept := false
	d.WhileBusy(func() {
		letter.Body, kept = task.RedactRequest(d.Data)
		letter.Body = p.withoutKeys(letter.Body)
	})
	if !kept {
		letter.Reason += "; " + task.NoBody
	}
	return p.Publisher.DeadLetter(ctx, d, letter)
}

// withoutKeys returns a text with marks in the place of the API keys of this worker. Nil stays nil.
func (p *Pipeline) withoutKeys(text []byte) []byte {
	if text == nil || p.cfg.Keys == nil {
		return text
	}
	redactor := p.keysOnly.secrets(p.cfg.Keys()).Redactor()
	if !redactor.Finds(text) {
		return text
	}
	return []byte(redactor.Text(string(text)))
}
