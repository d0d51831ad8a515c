// Package publisher stores what a task leaves behind: its event on the results stream, a result that is
// too large for a message in an object store, and a request that cannot be run among the dead letters.
package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/outbox"
	"github.com/capstan-worker/capstan/internal/retry"
	"github.com/capstan-worker/capstan/internal/task"
)

// Outbox publishes to streams; each call has a bound of its own.
type Outbox interface {
	Store(ctx context.Context, msg *nats.Msg) (outbox.Receipt, error)
}

// Publisher publishes events. Its calls wait out an outage of NATS, a full stream and a missing object
// store: they return when what they were given is stored, when ctx ends, or when the connection is
// closed.
type Publisher struct {
	nc      *nats.Conn
	outbox  Outbox
	results jetstream.Stream
	large   jetstream.ObjectStore
	cfg     ResultConfig
	dead    DeadConfig
	calls   calls
	metrics metrics

	lookback *lookback
}

// New returns a publisher on the results stream, the object store and the stream of dead letters.
func New(nc *nats.Conn, js jetstream.JetStream, o Outbox, results jetstream.Stream, large jetstream.ObjectStore,
	cfg ResultConfig, dead DeadConfig, reg prometheus.Registerer, log zerolog.Logger,
) *Publisher {
	return &Publisher{
		nc: nc, outbox: o, results: results, large: large, cfg: cfg, dead: dead,
		calls: newCalls(reg, log), metrics: newMetrics(reg),
		lookback: newLookback(js, cfg.Stream, retry.NewCall("find_event", retry.Slow, reg, log)),
	}
}

// Publish stores the one event of a task and returns the event that is stored, with its sequence in the
// results stream. Publishing it again stores nothing: the stream tells it for a duplicate by the task id,
// and what is stored already is returned, since it is what subscribers have seen. The stream forgets ids
// after its duplicate window; again says that an earlier delivery may have come this far, so that the
// events since the task began are looked through.
//
// An event under the same id that answers another request (a broken one that was mended and sent again)
// is no duplicate. The event is then stored under the id that PublishAside uses.
func (p *Publisher) Publish(ctx context.Context, m task.Message, ev task.Event, again bool) (task.Event, uint64, error) {
	seq, err := p.storeOnce(ctx, m, &ev, ev.TaskID, again)
	if errors.Is(err, errOthers) {
		seq, err = p.storeOnce(ctx, m, &ev, asideID(ev.TaskID, m), again)
	}
	return ev, seq, err
}

// PublishAside stores an event that is not the task's one: its message id is the task id, a dot and the
// request's sequence. again is as in Publish.
func (p *Publisher) PublishAside(ctx context.Context, m task.Message, ev task.Event, again bool) error {
	_, err := p.storeOnce(ctx, m, &ev, asideID(ev.TaskID, m), again)
	return err
}

// errOthers says that the message id is taken by an event that answers another request.
var errOthers = errors.New("the message id is another event's")

// storeOnce stores an event under a message id unless it is stored, puts what is stored in its place, and returns that
// one's sequence. An event is handed on by its address: copies of it in each call would make a task's stack grow once
// more.
func (p *Publisher) storeOnce(ctx context.Context, m task.Message, ev *task.Event, id string, again bool) (uint64, error) {
	for {
		if again {
			seq, found, err := p.stored(ctx, m, ev)
			if found || err != nil {
				return seq, err
			}
		}
		ack, err := p.store(ctx, m, ev, id)
		if errors.Is(err, errForgotten) {
			again = true
			continue
		}
		if err != nil {
			return 0, err
		}
		if !ack.Duplicate || p.earlier(ctx, ack.Sequence, ev) {
			return ack.Sequence, nil
		}
		return 0, fmt.Errorf("publish event of task %s: %w", ev.TaskID, errOthers)
	}
}

func asideID(taskID string, m task.Message) string { return fmt.Sprintf("%s.%d", taskID, m.Seq) }

// Replay stores the event with the given sequence once more, marked as a replay, in answer to a request
// that repeats an ended task's. The error is task.ErrNoEvent where the stream does not hold it any more.
func (p *Publisher) Replay(ctx context.Context, m task.Message, taskID string, seq uint64) error {
	stored, err := p.event(ctx, seq)
	if err != nil {
		return fmt.Errorf("read event of task %s: %w", taskID, err)
	}
	if stored.Header.Get("ce-subject") != taskID {
		return fmt.Errorf("event %d is not of task %s: %w", seq, taskID, task.ErrNoEvent)
	}
	again := &nats.Msg{Subject: p.cfg.Subject, Header: replayHeader(stored.Header, m, asideID(taskID, m)), Data: stored.Data}
	_, err = p.publish(ctx, p.calls.replay, again)
	if tooLarge(err) { // it fitted, but not with the mark of a replay
		err = p.replayLarge(ctx, m, again)
	}
	if err != nil {
		return fmt.Errorf("publish event of task %s again: %w", taskID, err)
	}
	p.metrics.replays.Inc()
	return nil
}

// replayLarge publishes a replay whose result is in the object store.
func (p *Publisher) replayLarge(ctx context.Context, m task.Message, again *nats.Msg) error {
	var ev task.Event
	if err := json.Unmarshal(again.Data, &ev); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	large, err := p.offload(ctx, m, &ev)
	if err != nil {
		return err
	}
	if again.Data, err = large.JSON(); err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	_, err = p.publish(ctx, p.calls.replay, again)
	return err
}

// store encodes an event and publishes it under a message id. What does not fit into a message goes to
// the object store first.
func (p *Publisher) store(ctx context.Context, m task.Message, ev *task.Event, id string) (outbox.Receipt, error) {
	ack, err := p.storeAs(ctx, m, ev, id)
	if tooLarge(err) && ev.ResultRef == nil {
		var large *task.Event
		if large, err = p.offload(ctx, m, ev); err == nil {
			ack, err = p.storeAs(ctx, m, large, id)
		}
	}
	if err != nil {
		return ack, fmt.Errorf("publish event of task %s: %w", ev.TaskID, err)
	}
	return ack, nil
}

func (p *Publisher) storeAs(ctx context.Context, m task.Message, ev *task.Event, id string) (outbox.Receipt, error) {
	data, err := ev.JSON()
	if err != nil {
		return outbox.Receipt{}, fmt.Errorf("encode: %w", err)
	}
	return p.publishEvent(ctx, &nats.Msg{Subject: p.cfg.Subject, Header: eventHeader(m, ev, id), Data: data})
}

// tooLarge reports whether a message was larger than the server's max_payload or the stream's own bound.
func tooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// errForgotten says that an event was sent, that no answer came, and that the stream may have forgotten
// its id since.
var errForgotten = errors.New("the event may have been stored long ago")

// publishEvent publishes until the stream has answered. A message that was sent before an outage may have
// been stored: once its id may be forgotten it is not sent again unseen.
func (p *Publisher) publishEvent(ctx context.Context, msg *nats.Msg) (outbox.Receipt, error) {
	var sent time.Time
	return retry.Until(ctx, p.calls.event, func(ctx context.Context) (outbox.Receipt, error) {
		if sent.IsZero() {
			sent = time.Now()
		} else if p.forgotten(sent) {
			return outbox.Receipt{}, retry.Final(errForgotten)
		}
		return p.send(ctx, msg)
	})
}

// forgotten reports whether the stream may have forgotten the id of a message that was stored at t.
func (p *Publisher) forgotten(t time.Time) bool {
	return time.Since(t) > p.results.CachedInfo().Config.Duplicates/2
}

func (p *Publisher) publish(ctx context.Context, what *retry.Call, msg *nats.Msg) (outbox.Receipt, error) {
	return retry.Until(ctx, what, func(ctx context.Context) (outbox.Receipt, error) {
		return p.send(ctx, msg)
	})
}

func (p *Publisher) send(ctx context.Context, msg *nats.Msg) (outbox.Receipt, error) {
	ack, err := p.outbox.Store(ctx, msg)
	if tooLarge(err) {
		err = retry.Final(err)
	}
	return ack, err
}

// earlier puts the stored event with this sequence in the place of ev if it answers the same request, or tells of the
// same workflow: a copy of a request may have taken over its task. One that is gone, or is nobody's event,
// does not.
func (p *Publisher) earlier(ctx context.Context, seq uint64, ev *task.Event) bool {
	var stored task.Event
	msg, err := p.event(ctx, seq)
	if err != nil || json.Unmarshal(msg.Data, &stored) != nil {
		return false
	}
	sameRun := stored.WorkflowID != "" && stored.WorkflowID == ev.WorkflowID
	answers := stored.TaskID == ev.TaskID && (sameRun || stored.RequestedAt.Equal(ev.RequestedAt))
	if answers {
		*ev = stored
	}
	return answers
}

func (p *Publisher) event(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	return retry.Until(ctx, p.calls.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := p.results.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = retry.Final(task.ErrNoEvent)
		}
		return msg, err
	})
}
