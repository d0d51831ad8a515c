// Package jet calls NATS JetStream: in batches, and again until the server answers.
//
// A message costs little, but each write to the connection costs much, and so does a subscription for each answer. A
// [Batcher] writes the messages of many goroutines that arrive at about the same time with one write, and receives the
// answers of the streams over one subscription. On the wire it is the same as jetstream.PublishMsg, with the same
// promises.
//
// [Retry] repeats a call until the server answers, so that an outage delays what a worker must store and never loses
// it.
package jet

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Batcher sends messages over one connection. Its methods may be called by many goroutines at once.
type Batcher struct {
	nc      *nats.Conn
	inbox   string        // what the answers' subjects begin with
	timeout time.Duration // of the wait for an answer
	letters sync.Pool     // of *letter, that are not in use

	mu      sync.Mutex
	queue   []*letter          // to be sent; guarded by mu
	spare   []*letter          // an empty queue; guarded by mu
	waiting map[uint64]*letter // sent or to be sent, by number; guarded by mu
	last    uint64             // number given to a letter; guarded by mu

	sending sync.Mutex // held while a queue is handed to the connection
}

// letter is a message on its way, and what became of it.
type letter struct {
	msg    nats.Msg
	number uint64      // 0 where no answer is waited for
	done   chan result // has room for the one result
	timer  *time.Timer // runs while the answer is waited for
}

type result struct {
	receipt PubAck
	err     error
}

// NewBatcher returns a batcher on a connection, which is the caller's to close. No answer is waited for longer than
// timeout.
func NewBatcher(nc *nats.Conn, timeout time.Duration) (*Batcher, error) {
	o := &Batcher{nc: nc, inbox: nc.NewInbox() + ".", timeout: timeout, waiting: map[uint64]*letter{}}
	o.letters.New = func() any {
		l := &letter{done: make(chan result, 1), timer: time.NewTimer(time.Hour)}
		l.timer.Stop()
		return l
	}
	if _, err := nc.Subscribe(o.inbox+"*", o.answered); err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	return o, nil
}

// Publish publishes a message to a stream and returns what the stream says. The error is a *jetstream.APIError where the stream refused the message, nats.ErrMaxPayload where
// it is too large to be sent, nats.ErrTimeout where no answer came, and that of ctx where it ended before: the
// message may be stored then.
func (o *Batcher) Publish(ctx context.Context, msg *nats.Msg) (PubAck, error) {
	l, _ := o.letters.Get().(*letter)
	l.timer.Reset(o.timeout)
	if o.post(l, msg) {
		o.send()
	}
	r, over := o.wait(ctx, l)
	l.timer.Stop()
	if over { // else it may be in a queue still
		l.msg = nats.Msg{}
		o.letters.Put(l)
	}
	return r.receipt, r.err
}

// wait returns what became of a letter, and whether it is over with it.
func (o *Batcher) wait(ctx context.Context, l *letter) (r result, over bool) {
	select {
	case r = <-l.done:
		return r, true
	case <-l.timer.C:
		r.err = nats.ErrTimeout
	case <-ctx.Done():
		r.err = ctx.Err()
	}
	if !o.withdraw(l.number) { // the result came at the last moment
		return <-l.done, true
	}
	return r, false
}

// Send publishes a message that nobody answers. An error is not noticed: the connection is closed, or has
// been away for long.
func (o *Batcher) Send(subject string, data []byte) {
	o.mu.Lock()
	first := o.enqueue(&letter{msg: nats.Msg{Subject: subject, Data: data}})
	o.mu.Unlock()
	if first {
		o.send()
	}
}

// Flush returns when the server has everything that was handed in.
func (o *Batcher) Flush(timeout time.Duration) error {
	o.deliver()
	return o.nc.FlushTimeout(timeout)
}

// post numbers a letter with this message and puts it into the queue. first is as in enqueue.
func (o *Batcher) post(l *letter, msg *nats.Msg) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	l.number = o.last
	reply := o.inbox + strconv.FormatUint(l.number, 36)
	l.msg = nats.Msg{Subject: msg.Subject, Reply: reply, Header: msg.Header, Data: msg.Data}
	o.waiting[l.number] = l
	return o.enqueue(l)
}

// enqueue puts a letter into the queue, and reports whether it is the first: who brings that sends them all.
// The caller holds mu.
func (o *Batcher) enqueue(l *letter) (first bool) {
	o.queue = append(o.queue, l)
	return len(o.queue) == 1
}

// send lets the goroutines go first that are about to bring letters, and then sends all.
func (o *Batcher) send() {
	runtime.Gosched()
	o.deliver()
}

// deliver hands the queue to the connection.
func (o *Batcher) deliver() {
	o.sending.Lock()
	defer o.sending.Unlock()
	o.mu.Lock()
	letters := o.queue
	o.queue, o.spare = o.spare, nil
	o.mu.Unlock()
	for i, l := range letters {
		letters[i] = nil
		number := l.number // an answer may come before PublishMsg returns, and the letter be used again
		if number != 0 && !o.isWaiting(number) {
			continue // its sender has given up and may send it again: both copies would go out
		}
		if err := o.nc.PublishMsg(&l.msg); err != nil {
			o.finish(number, result{err: err})
		}
	}
	o.mu.Lock()
	o.spare = letters[:0]
	o.mu.Unlock()
}

// isWaiting reports whether a sender still waits for the answer to a letter.
func (o *Batcher) isWaiting(number uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting[number] != nil
}

// answered takes in what a stream answers to a letter.
func (o *Batcher) answered(msg *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, o.inbox), 36, 64)
	if err != nil {
		return // nobody has asked for it
	}
	receipt, err := read(msg)
	o.finish(number, result{receipt: receipt, err: err})
}

// finish gives a letter its result, unless nobody waits for it any more.
func (o *Batcher) finish(number uint64, r result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.waiting[number]; l != nil {
		delete(o.waiting, number)
		l.done <- r
	}
}

// withdraw makes sure that a letter gets no result, and reports whether that was possible: it may have one.
func (o *Batcher) withdraw(number uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, waits := o.waiting[number]
	delete(o.waiting, number)
	return waits
}
