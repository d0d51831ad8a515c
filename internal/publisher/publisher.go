// Package publisher stores the results of tasks: the event of each on the results stream, results that are too large for
// a message in an object store, and requests that cannot be run on the dead-letter stream.
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

// Batcher publishes to streams.
type Batcher interface {
	// Publish returns within a time-out of its own; jet.Batcher describes its errors.
	Publish(ctx context.Context, msg *nats.Msg) (jet.PubAck, error)
}

// Parts are the things that a Publisher works with. All but Clock must be set.
type Parts struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
	Batcher   Batcher
	// The stream of the events.
	Results jetstream.Stream
	// The object store for results that are too large for a message.
	Large jetstream.ObjectStore
	// For the index of stored events. Nothing else may reserve from it.
	Index *memory.Budget
	// The clock that the times of events come from: the server's. Nil stands for this machine's.
	Clock *servertime.Clock
}

// Publisher publishes events. Its calls wait through an outage of NATS, a full stream and a missing object
// store. They return when the event is stored, when ctx ends, or when the connection is closed. Many
// goroutines may use it at once.
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
	// The sequence of an event that was stored recently. A search for an event that is sent later begins
	// there.
	newest  atomic.Uint64
	uploads *semaphore.Weighted // slots for uploads
	reads   *semaphore.Weighted // slots for stored events in memory
}

// Bounds of concurrent work, and so of the memory that it takes in addition to the events themselves.
const (
	// Each uploads a large result and reads it back.
	maxUploads = 2
	// Each holds a stored event, which is a message.
	maxReads = 8
)

// New returns a publisher of events and of dead letters. It makes no call to NATS: what it knows of the streams is what
// their CachedInfo says.
func New(parts Parts, cfg ResultConfig, dead DeadConfig, reg prometheus.Registerer, log zerolog.Logger) *Publisher {
	p := &Publisher{
		nc: parts.Conn, batcher: parts.Batcher, results: parts.Results, large: parts.Large, clock: parts.Clock,
		cfg: cfg, dead: dead, calls: newCalls(reg, log), metrics: newMetrics(reg),
		index:    newEventIndex(parts.JetStream, cfg.Stream, parts.Index, jet.NewCall("find_event", 0, reg, log)),
		capacity: capacity{results: parts.Results},
		uploads:  semaphore.NewWeighted(maxUploads), reads: semaphore.NewWeighted(maxReads),
	}
	p.newest.Store(parts.Results.CachedInfo().State.LastSeq)
	return p
}

// Offload moves the result of an event that is too large for a message to the object store. That may take as long as an
// outage, and after it the caller can check that the task is still its own. Publish does the same only if the largest
// message becomes smaller between the two calls.
func (p *Publisher) Offload(ctx context.Context, d task.Delivery, ev task.Event) (task.Event, error) {
	fits, err := p.fits(d, &ev)
	if err == nil && !fits {
		err = p.offload(ctx, d, &ev)
	}
	return ev, err
}

// mostGrowth is how many times longer a value can get when it is made portable: a byte becomes three.
const mostGrowth = 3

// fits reports whether an event fits into a message under the longest of its ids. It encodes only an event that is large.
func (p *Publisher) fits(d task.Delivery, ev *task.Event) (bool, error) {
	most := p.maxMessage()
	if ev.ExceedsBytes(most) {
		return false, nil
	}
	if !ev.ExceedsBytes(most / mostGrowth / 2) {
		return true, nil
	}
	data, err := ev.JSON()
	if err != nil {
		return false, fmt.Errorf("encode event of task %s: %w", ev.TaskID, err)
	}
	id := perRequestID(ev.TaskID, d) + "/" + rand.Text()
	return messageSize(&nats.Msg{Subject: p.cfg.Subject, Header: eventHeader(d, ev, id), Data: data}) <= most, nil
}

// Publish stores the one event of a task. It returns the stored event and its sequence in the results stream.
//
// Publishing an event again stores nothing: the stream detects the duplicate by its message id, which is the task id.
// The stored event is returned, since it is the one that subscribers have seen. The stream forgets ids after its
// duplicate window. If the request was redelivered, an earlier delivery may have stored the event long ago, so it is
// looked for among all events that were stored since the request.
//
// An event with this id that answers another request is no duplicate; a user may have fixed a broken request and sent
// it again. The new event is then stored under the id that PublishPerRequest uses.
func (p *Publisher) Publish(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) (task.Event, uint64, error) {
	seq, err := p.storeOnce(ctx, d, &ev, ev.TaskID, redelivered)
	if errors.Is(err, errIDInUse) {
		seq, err = p.storePerRequest(ctx, d, &ev, redelivered)
	}
	return ev, seq, err
}

// PublishPerRequest stores an event that is not the task's own one, such as a refusal of a task id that is in use. Its
// message id is the task id, the request's sequence, and the time when the stream stored the request in Unix
// milliseconds, separated by slashes. redelivered is as in Publish.
func (p *Publisher) PublishPerRequest(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) error {
	_, err := p.storePerRequest(ctx, d, &ev, redelivered)
	return err
}

// storePerRequest stores an event under its request's own id. If a message of another program has that id, which can
// only be on purpose, the event gets a random one.
func (p *Publisher) storePerRequest(ctx context.Context, d task.Delivery, ev *task.Event, redelivered bool) (uint64, error) {
	id := perRequestID(ev.TaskID, d)
	seq, err := p.storeOnce(ctx, d, ev, id, redelivered)
	if errors.Is(err, errIDInUse) {
		return p.storeOnce(ctx, d, ev, id+"/"+rand.Text(), redelivered)
	}
	return seq, err
}

// perRequestID returns the message id of an event that belongs to one request. It is unique: task ids have no slash, and
// no two requests have the same sequence and time.
func perRequestID(taskID string, d task.Delivery) string {
	return fmt.Sprintf("%s/%d/%d", taskID, d.Seq, d.Stored.UnixMilli())
}

// Replay publishes the event with this sequence again, marked as a replay. It answers a request that repeats the one of a
// finished task. The error is task.ErrNoEvent if the stream no longer has the event.
func (p *Publisher) Replay(ctx context.Context, d task.Delivery, taskID string, seq uint64) error {
	if err := p.reads.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait to replay task %s: %w", taskID, err)
	}
	defer p.reads.Release(1)
	stored, err := p.read(ctx, seq)
	if err != nil {
		return fmt.Errorf("read event of task %s: %w", taskID, err)
	}
	// The results stream may have been recreated, and have another task's event at this sequence.
	if stored.Header.Get(SubjectHeader) != taskID {
		return fmt.Errorf("event %d is not of task %s: %w", seq, taskID, task.ErrNoEvent)
	}
	id := perRequestID(taskID, d)
	ack, err := p.replayAs(ctx, d, stored, id)
	// An earlier attempt may have published the replay, or another program used its id.
	if err == nil && ack.Duplicate {
		err = p.replayUnlessStored(ctx, d, stored, id, ack.Sequence)
	}
	if err != nil {
		return fmt.Errorf("publish event of task %s again: %w", taskID, err)
	}
	p.metrics.replays.Inc()
	return nil
}

// replayUnlessStored decides whether the message with the replay's id, which has this sequence, is the replay. It is,
// unless another program stored it; then the replay gets a random id. If the message no longer exists, it was the
// replay: no other request has this id.
func (p *Publisher) replayUnlessStored(ctx context.Context, d task.Delivery, event *jetstream.RawStreamMsg, id string, seq uint64) error {
	found, err := p.read(ctx, seq)
	switch {
	case errors.Is(err, task.ErrNoEvent):
		return nil
	case err != nil:
		return err
	case found.Header.Get(idHeader) == id:
		return nil
	}
	_, err = p.replayAs(ctx, d, event, id+"/"+rand.Text())
	return err
}
