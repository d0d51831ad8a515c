// Package board keeps a whole queue in memory, for a program that shows it to many people. One goroutine refreshes it, and any
// number of others read it meanwhile. Its figures are those of package inspect.
package board

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// Board is a queue in memory. It keeps about 200 bytes of each task.
type Board struct {
	// Patience is for how long no worker must have answered before NoWorker says so: one that starts needs a while. Set it
	// before the first Refresh.
	Patience time.Duration

	q        operator.Queue
	changes  *operator.RecordChanges
	backlog  *operator.Backlog
	refusals *inspect.Refusals
	marks    *operator.BatchMarks
	heads    *deadletter.Letters
	shown    time.Time // when the figures were last counted
	silent   time.Time // since when no worker has answered; zero if one has

	// Only Refresh changes these, and it holds mu meanwhile.
	mu       sync.RWMutex
	tasks    map[string]*card             // by id
	letters  map[string]deadletter.Letter // the newest of each task, by its id without the number of a run
	snapshot *inspect.Snapshot            // what it holds never changes
	ends     *ends                        // the same
	complete time.Time                    // when the last Refresh ended; zero before
	read     int                          // records of the first Refresh
	silence  time.Duration                // for how long no worker had answered at the last Refresh
}

// patience is about the time in which a platform starts a worker, or replaces one.
const patience = 30 * time.Second

// New returns an empty board. Refresh fills it.
func New(q operator.Queue) *Board {
	return &Board{
		Patience: patience, q: q, changes: q.RecordChanges(), backlog: q.Backlog(), refusals: inspect.NewRefusals(q), marks: q.BatchMarks(),
		heads: deadletter.NewLetters(q, jetstream.OrderedConsumerConfig{HeadersOnly: true}),
		tasks: map[string]*card{}, letters: map[string]deadletter.Letter{},
		snapshot: inspect.NewSnapshot(inspect.Status{}, operator.Line{}, inspect.NewTally(time.Time{})), ends: newEnds(time.Time{}),
	}
}

// Refresh reads what is new since the last call, or everything at the first one; call it from one goroutine. The first one
// shows what it has read while it reads. The error is as in inspect.View.Status, and what was read before stays.
func (b *Board) Refresh(ctx context.Context) error {
	look, err := inspect.BeginLook(ctx, b.q)
	if err != nil {
		b.silent = time.Time{} // nobody knows who would have answered
		return err
	}
	s := inspect.Snapshot{Shared: look.Shared(ctx), Line: look.Line}
	b.noteSilence(look.IsUnanswered(s.Shared))
	if err := look.NoteRecords(&s.Shared, b.readRecords(ctx, &s)); err != nil {
		return err
	}
	complete, err := b.backlog.Refresh(ctx, look.Line)
	if err != nil {
		return err
	}
	taken, err := b.q.Taken(ctx, look.Line, b.records(), inspect.WorthReading(look.Line))
	s.Shared.Note(err)
	s.Queued, s.Taken, s.IsCut = b.backlog.Of(""), len(taken), !complete
	if len(taken) > 0 { // there may be very many queued ones
		s.Queued = slices.Concat(taken, s.Queued)
	}
	s.Shared.Note(b.refusals.Refresh(ctx))
	s.Refused = b.refusals.ByBatch()
	s.Canceled, err = b.marks.Refresh(ctx)
	s.Shared.Note(err)
	s.Shared.Note(b.readLetters(ctx))
	b.show(&s)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complete = time.Now()
	return nil
}

// noteSilence notes whether no worker has answered.
func (b *Board) noteSilence(isUnanswered bool) {
	now := time.Now()
	switch {
	case !isUnanswered:
		b.silent = time.Time{}
	case b.silent.IsZero():
		b.silent = now
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silence = 0
	if isUnanswered {
		b.silence = now.Sub(b.silent)
	}
}

// NoWorker reports whether nobody works on the tasks: no worker has answered for the time of Patience, and none has written a
// record lately.
func (b *Board) NoWorker() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.silence > 0 && b.silence >= b.Patience && b.snapshot.IsQuiet()
}

// readRecords reads the records that were written since the last call. While the board fills, it shows them with s now and
// then.
func (b *Board) readRecords(ctx context.Context, s *inspect.Snapshot) error {
	const showInterval = 500 * time.Millisecond
	isFirst := b.complete.IsZero()
	return b.changes.Read(ctx, b.restart, func(id string, rec *task.Record) {
		b.note(id, rec, isFirst)
		if isFirst && time.Since(b.shown) > showInterval {
			b.show(s)
		}
	})
}

// records returns the records of all tasks, as far as the board keeps them. Only Refresh uses them.
func (b *Board) records() iter.Seq[task.Record] {
	return func(yield func(task.Record) bool) {
		for _, c := range b.tasks {
			if !yield(c.record()) {
				return
			}
		}
	}
}

// restart forgets all tasks: the bucket was created again.
func (b *Board) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.tasks)
}

// note takes the newest record of a task, or that it has none.
func (b *Board) note(id string, rec *task.Record, isFirst bool) {
	var c *card
	if rec != nil {
		c = newCard(*rec)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if isFirst {
		b.read++
	}
	if c == nil {
		delete(b.tasks, id)
		return
	}
	b.tasks[c.id] = c
}

// show counts all tasks, and shows the figures with what s says of the queue apart from them. It forgets records that have
// expired, for the bucket says nothing of that.
func (b *Board) show(s *inspect.Snapshot) {
	tally, ends := inspect.NewTally(s.Shared.At), newEnds(s.Shared.At)
	for id, c := range b.tasks { // nobody else changes them
		r := c.record()
		if r.State.Ended() && s.Shared.At.Sub(r.UpdatedAt) > b.q.Config.Tracker.TTL {
			b.forget(id)
			continue
		}
		tally.Add(r)
		ends.add(c)
	}
	for _, r := range s.Queued {
		tally.AddRun(r.TaskID)
	}
	tally.CountRedriven(b.failed)
	counted := inspect.NewSnapshot(s.Shared, s.Line, tally)
	counted.Taken, counted.Queued, counted.IsCut, counted.Refused, counted.Canceled = s.Taken, s.Queued, s.IsCut, s.Refused, s.Canceled
	b.mu.Lock()
	defer b.mu.Unlock()
	b.snapshot, b.ends, b.shown = counted, ends, time.Now()
}

// forget forgets a task.
func (b *Board) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tasks, id)
}

// failed reports whether a task has failed, and its batch.
func (b *Board) failed(id string) (batch string, ok bool) {
	c := b.tasks[id] // nobody else changes them
	if c == nil {
		return "", false
	}
	return c.batch.Value(), task.State(c.state.Value()) == task.Failed
}

// Snapshot returns the figures as of the last Refresh, or of what the first one has read so far.
func (b *Board) Snapshot() *inspect.Snapshot {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.snapshot
}

// Progress returns how many records have been read while the board fills, and when it was last complete: the zero time before
// the first Refresh has ended.
func (b *Board) Progress() (read int, complete time.Time) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.read, b.complete
}
