// Package publisher stores what a task leaves behind: its event on the results stream, a result that is
// too large for a message in an object store, and a request that cannot be run among the dead letters.
package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// Batcher publishes to streams; each call has a bound of its own.
type Batcher interface {
	Publish(ctx context.Context, msg *nats.Msg) (jet.PubAck, error)
}

// Parts are what a publisher works with.
type Parts struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
	Batcher   Batcher
	Results   jetstream.Stream      // of the events
	Large     jetstream.ObjectStore // of results that are too large for a message
	Index     *memory.Budget        // of the index of stored events; its only user is the publisher
	Clock     *servertime.Clock     // nil: this machine's
}

// Publisher publishes events. Its calls wait out an outage of NATS, a full stream and a missing object
// store: they return when what they were given is stored, when ctx ends, or when the connection is
// closed.
type Publisher struct {
	nc      *nats.Conn
	batcher Batcher
	results jetstream.Stream
	large   jetstream.ObjectStore
	clock   *servertime.Clock
	cfg     ResultConfig
	dead    DeadConfig
	calls   calls
	metrics metrics

	index    *eventIndex
	capacity capacity
	newest   atomic.Uint64       // the sequence of an event that was stored lately
	uploads  *semaphore.Weighted // places of uploads at once
	reads    *semaphore.Weighted // places of stored events in memory at once
}

// Bounds of what is in memory at once, beside the events that are to be published.
const (
	uploadsAtOnce = 2 // each reads its object back
	readsAtOnce   = 8 // each is a message
)

// New returns a publisher of events and of dead letters.
func New(parts Parts, cfg ResultConfig, dead DeadConfig, reg prometheus.Registerer, log zerolog.Logger) *Publisher {
	p := &Publisher{
		nc: parts.Conn, batcher: parts.Batcher, results: parts.Results, large: parts.Large, clock: parts.Clock,
		cfg: cfg, dead: dead, calls: newCalls(reg, log), metrics: newMetrics(reg),
		index:    newEventIndex(parts.JetStream, cfg.Stream, parts.Index, jet.NewCall("find_event", 0, reg, log)),
		capacity: capacity{results: parts.Results},
		uploads:  semaphore.NewWeighted(uploadsAtOnce), reads: semaphore.NewWeighted(readsAtOnce),
	}
	p.newest.Store(parts.Results.CachedInfo().State.LastSeq)
	return p
}

// Publish stores the one event of a task and returns the event that is stored, with its sequence in the
// results stream. Publishing it again stores nothing: the stream tells it for a duplicate by the task id,
// and the stored event is returned, since it is the one that subscribers have seen. The stream forgets ids
// after its duplicate window. redelivered says that an earlier delivery may have come this far, so that the
// events stored since the request are looked through where the stream may have forgotten.
//
// An event under the same id that answers another request (a broken one that was mended and sent again)
// is no duplicate. The event is then stored under the id that PublishPerRequest uses.
func (p *Publisher) Publish(ctx context.Context, m task.Delivery, ev task.Event, redelivered bool) (task.Event, uint64, error) {
	seq, err := p.storeOnce(ctx, m, &ev, ev.TaskID, redelivered)
	if errors.Is(err, errOthers) {
		seq, err = p.storePerRequest(ctx, m, &ev, redelivered)
	}
	return ev, seq, err
}

// PublishPerRequest stores an event that is not the task's one. Its message id is the task id, the request's sequence,
// and the time when the stream stored the request in Unix milliseconds, with slashes between them.
// redelivered is as in Publish.
func (p *Publisher) PublishPerRequest(ctx context.Context, m task.Delivery, ev task.Event, redelivered bool) error {
	_, err := p.storePerRequest(ctx, m, &ev, redelivered)
	return err
}

// storePerRequest stores an event under the id that belongs to its request. A message of another
// program can have that id only by intent; the event then gets a random one.
func (p *Publisher) storePerRequest(ctx context.Context, m task.Delivery, ev *task.Event, redelivered bool) (uint64, error) {
	id := perRequestID(ev.TaskID, m)
	seq, err := p.storeOnce(ctx, m, ev, id, redelivered)
	if errors.Is(err, errOthers) {
		return p.storeOnce(ctx, m, ev, id+"/"+rand.Text(), redelivered)
	}
	return seq, err
}

// perRequestID returns the message id of an event beside the task's own. No task id has a slash, and no two
// requests have one sequence and one time.
func perRequestID(taskID string, m task.Delivery) string {
	return fmt.Sprintf("%s/%d/%d", taskID, m.Seq, m.Stored.UnixMilli())
}

// Replay stores the event with the given sequence once more, marked as a replay, in answer to a request
// that repeats an ended task's. The error is task.ErrNoEvent where the stream does not hold it any more.
func (p *Publisher) Replay(ctx context.Context, m task.Delivery, taskID string, seq uint64) error {
	if err := p.reads.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait to replay task %s: %w", taskID, err)
	}
	defer p.reads.Release(1)
	stored, err := p.read(ctx, seq)
	if err != nil {
		return fmt.Errorf("read event of task %s: %w", taskID, err)
	}
	if stored.Header.Get(subjectHeader) != taskID {
		return fmt.Errorf("event %d is not of task %s: %w", seq, taskID, task.ErrNoEvent)
	}
	id := perRequestID(taskID, m)
	ack, err := p.replayAs(ctx, m, stored, id)
	if err == nil && ack.Duplicate {
		err = p.replayUnlessStored(ctx, m, stored, id, ack.Sequence)
	}
	if err != nil {
		return fmt.Errorf("publish event of task %s again: %w", taskID, err)
	}
	p.metrics.replays.Inc()
	return nil
}

// replayUnlessStored looks at the message that has the replay's id. It answers the same request unless
// another program stored it. One that is gone answered the request, too: no other request has this id.
func (p *Publisher) replayUnlessStored(ctx context.Context, m task.Delivery, event *jetstream.RawStreamMsg, id string, seq uint64) error {
	found, err := p.read(ctx, seq)
	switch {
	case errors.Is(err, task.ErrNoEvent):
		return nil
	case err != nil:
		return err
	case found.Header.Get(idHeader) == id:
		return nil
	}
	_, err = p.replayAs(ctx, m, event, id+"/"+rand.Text())
	return err
}
