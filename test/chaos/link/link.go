// Package link is a TCP link between two programs that a test can watch and break: it can be slow, stalled, or cut, also in
// the middle of a message, and it can hold one kind of message back. It understands the NATS client protocol, so that a
// test can break it at "the write of this record". Everything else passes as bytes.
package link

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link listens on 127.0.0.1 and forwards bytes to its target, and back. Its methods are safe for concurrent use.
type Link struct {
	target   string
	listener net.Listener
	read     func(*bufio.Reader) (Frame, error)
	watch    func(Frame)
	running  sync.WaitGroup

	mu      sync.Mutex // guards all below
	pairs   map[*pair]struct{}
	changed chan struct{} // closed and replaced when one of the fields below changes
	closed  bool
	down    bool
	stalled bool
	delay   time.Duration
	halfway bool
	holds   []*Hold
}

// pair is the connection of a client and the matching one to the target.
type pair struct {
	client, server net.Conn
	once           sync.Once
	done           chan struct{} // closed by close
}

func (p *pair) close() {
	p.once.Do(func() {
		close(p.done)
		_ = p.client.Close()
		_ = p.server.Close()
	})
}

// NATS returns a link to a NATS server. It calls watch, which may be nil, with every frame before it forwards it, from
// several goroutines at once.
func NATS(ctx context.Context, target string, watch func(Frame)) (*Link, error) {
	return listen(ctx, target, ReadNATS, watch)
}

// TCP returns a link to any other server.
func TCP(ctx context.Context, target string) (*Link, error) {
	return listen(ctx, target, readPiece, nil)
}

func listen(ctx context.Context, target string, read func(*bufio.Reader) (Frame, error), watch func(Frame)) (*Link, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open link to %s: %w", target, err)
	}
	l := &Link{
		target: target, listener: listener, read: read, watch: watch,
		pairs: map[*pair]struct{}{}, changed: make(chan struct{}),
	}
	l.running.Go(l.accept)
	return l, nil
}

// Addr returns the host and port where clients connect.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Close cuts all connections, accepts no new ones, and waits until the goroutines of the link have ended.
func (l *Link) Close() {
	_ = l.listener.Close()
	l.change(func() { l.closed = true })
	l.Cut()
	l.running.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.running.Go(func() { l.serve(client) })
	}
}

// serve connects a client to the target. If it cannot reach the target, it closes the client's connection.
func (l *Link) serve(client net.Conn) {
	dialer := net.Dialer{Timeout: time.Second}
	server, err := dialer.Dial("tcp", l.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p := &pair{client: client, server: server, done: make(chan struct{})}
	if !l.add(p) {
		p.close()
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pump(p, server, client, false) })
	l.pump(p, client, server, true)
	back.Wait()
	l.remove(p)
}

// add reports whether the link accepts connections.
func (l *Link) add(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.closed {
		return false
	}
	l.pairs[p] = struct{}{}
	return true
}

func (l *Link) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// pump forwards frames from one side to the other, until either is closed.
func (l *Link) pump(p *pair, from, to net.Conn, fromClient bool) {
	defer p.close()
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		f, err := l.read(r)
		if err != nil {
			return
		}
		f.FromClient = fromClient
		if !l.pass(p, f, to) {
			return
		}
	}
}

// pass forwards a frame, as the state of the link demands, and reports whether the connection stays open.
func (l *Link) pass(p *pair, f Frame, to net.Conn) bool {
	if !l.awaitPassage(p) {
		return false
	}
	if l.holdBack(f) {
		return true
	}
	if l.takeHalfway() {
		_, _ = to.Write(f.Raw[:len(f.Raw)/2])
		return false
	}
	if l.watch != nil {
		l.watch(f) // first, so that a request is seen before its answer
	}
	_, err := to.Write(f.Raw)
	return err == nil
}

// awaitPassage waits while the link is stalled, or slow, and reports whether the connection is still open.
func (l *Link) awaitPassage(p *pair) bool {
	for {
		stalled, delay, changed := l.hindrance()
		if !stalled && delay == 0 {
			return true
		}
		var over <-chan time.Time
		if !stalled {
			over = time.After(delay)
		}
		select {
		case <-over:
			return true
		case <-changed:
		case <-p.done:
			return false
		}
	}
}

func (l *Link) hindrance() (stalled bool, delay time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled, l.delay, l.changed
}

func (l *Link) takeHalfway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.halfway
	l.halfway = false
	return was
}
