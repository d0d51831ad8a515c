// Package jet makes the worker's calls to NATS JetStream: it publishes in batches, and it retries through outages.
//
// Each write to the connection is expensive, and so is a subscription for each answer. A [Batcher] writes the messages
// that many goroutines publish at about the same time with one write, and receives the answers over one subscription.
// On the wire and in its guarantees, this is the same as jetstream.PublishMsg.
//
// [Retry] repeats a call until the server answers. After an outage of NATS, what a worker has to store is late but not
// lost.
package jet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Batcher sends messages over one connection. Its methods are safe for concurrent use.
type Batcher struct {
	nc      *nats.Conn
	inbox   string        // the reply subjects are this prefix and a message's id
	domain  string        // the JetStream domain whose PubAcks count; "" for those of any
	timeout time.Duration // of the wait for a PubAck

	writing sync.Mutex // held while a batch is written, so that batches leave in order

	mu      sync.Mutex
	queue   []*message          // the next batch; guarded by mu
	waiting map[uint64]*message // published and not answered, by id; guarded by mu
	lastID  uint64              // guarded by mu
}

// message is a message that was queued.
type message struct {
	nats.Msg
	// 0 if no answer is expected. Nothing waits for the fate of such a message, either.
	id       uint64
	answered chan answer // has capacity for the one answer
	// An answer from another domain, while no other has come; guarded by the batcher's mu until the message is withdrawn.
	elsewhere *otherDomainError
}

// answer is what the stream answered to a message, or the error that kept the message from being written.
type answer struct {
	ack PubAck
	err error
}

// NewBatcher returns a batcher on a connection, which the caller closes. It waits for each PubAck until timeout at most,
// for that of a stream in this JetStream domain, or of any if domain is "". At a leaf node a message may reach a stream of
// the leaf as well as the one at the hub, and each of them answers: only the domain's own answer shows that the message
// is stored where it belongs.
func NewBatcher(nc *nats.Conn, domain string, timeout time.Duration) (*Batcher, error) {
	b := &Batcher{nc: nc, inbox: nc.NewInbox() + ".", domain: domain, timeout: timeout, waiting: map[uint64]*message{}}
	if _, err := nc.Subscribe(b.inbox+"*", b.receive); err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	return b, nil
}

// Publish publishes a message to a stream and returns the stream's PubAck. The error is
//
//   - a *jetstream.APIError or jetstream.ErrNoStreamResponse if the message was refused,
//   - nats.ErrMaxPayload if it is too large to be sent,
//   - nats.ErrTimeout if no answer came, or ctx's error if ctx ended first. The message may have been stored. The
//     time-out also says if a stream of another domain answered.
func (b *Batcher) Publish(ctx context.Context, msg *nats.Msg) (PubAck, error) {
	timer := time.NewTimer(b.timeout)
	defer timer.Stop()
	m := b.enqueueForAck(msg)
	var err error
	select {
	case a := <-m.answered:
		return a.ack, a.err
	case <-timer.C:
		err = nats.ErrTimeout
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !b.withdraw(m.id) {
		// The answer came at the last moment.
		a := <-m.answered
		return a.ack, a.err
	}
	if m.elsewhere != nil {
		err = fmt.Errorf("%w: %w", err, m.elsewhere)
	}
	return PubAck{}, err
}

// Send publishes a message that is not answered. It does not report errors: the connection is closed, or has been
// down for long.
func (b *Batcher) Send(subject string, data []byte) {
	b.mu.Lock()
	isFirst := b.enqueue(&message{Msg: nats.Msg{Subject: subject, Data: data}})
	b.mu.Unlock()
	if isFirst {
		b.gatherAndWrite()
	}
}

// Flush returns when the server has received everything that was published or sent before. The streams may
// not have stored it yet. The error is nats.ErrTimeout after timeout, or that of a closed connection.
func (b *Batcher) Flush(timeout time.Duration) error {
	b.writeBatch()
	return b.nc.FlushTimeout(timeout)
}

// enqueueForAck queues a message with a reply subject of its own. If it is the first of a batch, it writes the batch.
func (b *Batcher) enqueueForAck(msg *nats.Msg) *message {
	m := &message{answered: make(chan answer, 1)}
	m.Subject, m.Header, m.Data = msg.Subject, msg.Header, msg.Data
	b.mu.Lock()
	b.lastID++
	m.id = b.lastID
	m.Reply = b.inbox + strconv.FormatUint(m.id, 36)
	b.waiting[m.id] = m
	isFirst := b.enqueue(m)
	b.mu.Unlock()
	if isFirst {
		b.gatherAndWrite()
	}
	return m
}

// enqueue adds a message to the next batch and reports whether it is the first: the goroutine that queued the first
// message writes the batch. The caller holds mu.
func (b *Batcher) enqueue(m *message) (isFirst bool) {
	b.queue = append(b.queue, m)
	return len(b.queue) == 1
}

// gatherAndWrite yields once, so that other goroutines can queue their messages, and then writes the batch.
func (b *Batcher) gatherAndWrite() {
	// A wait would make each message late, even if no other is coming.
	runtime.Gosched()
	b.writeBatch()
}

// writeBatch hands the queued messages to the connection. It skips those that were withdrawn: their senders may publish
// them again, and then both copies would go out.
func (b *Batcher) writeBatch() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	batch := b.queue
	b.queue = nil
	b.mu.Unlock()
	for _, m := range batch {
		if m.id != 0 && !b.isWaiting(m.id) {
			continue
		}
		if err := b.nc.PublishMsg(&m.Msg); err != nil {
			b.resolve(m.id, answer{err: err})
		}
	}
}

// isWaiting reports whether a sender waits for the answer to a message.
func (b *Batcher) isWaiting(id uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[id] != nil
}

// receive handles the answer to a message. It ignores one to a subject that is not a message's. The
// connection calls it for one answer after the other.
func (b *Batcher) receive(msg *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, b.inbox), 36, 64)
	if err != nil {
		return
	}
	ack, err := parsePubAck(msg, b.domain)
	if elsewhere, ok := errors.AsType[*otherDomainError](err); ok {
		b.noteElsewhere(id, elsewhere)
		return
	}
	b.resolve(id, answer{ack: ack, err: err})
}

// noteElsewhere notes that a stream of another domain answered. The sender still waits for the stream of its own.
func (b *Batcher) noteElsewhere(id uint64, elsewhere *otherDomainError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.waiting[id]; m != nil {
		m.elsewhere = elsewhere
	}
}

// resolve passes an answer to the sender of the message, unless it no longer waits.
func (b *Batcher) resolve(id uint64, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.waiting[id]; m != nil {
		delete(b.waiting, id)
		m.answered <- a
	}
}

// withdraw makes the batcher ignore the answer to a message. It reports false if the answer is there already.
func (b *Batcher) withdraw(id uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, waits := b.waiting[id]
	delete(b.waiting, id)
	return waits
}
