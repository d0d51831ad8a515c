package publisher_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// link is a connection to a server that can be cut and stalled.
type link struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	cut     bool          // guarded by mu
	stalled chan struct{} // closed when bytes go on; nil: they do; guarded by mu
	conns   []net.Conn    // guarded by mu
}

func newLink(t *testing.T, serverURL string) *link {
	t.Helper()
	server, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{server: server.Host}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.listener.Close()
		l.Resume()
		l.Cut()
	})
	go l.serve()
	return l
}

func (l *link) URL() string { return "nats://" + l.listener.Addr().String() }

// Cut breaks all connections, and those that are made until Mend is called.
func (l *link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

func (l *link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// Stall holds what is sent until Resume is called. Nothing is lost.
func (l *link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
}

func (l *link) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
}

func (l *link) serve() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil || !l.add(client, server) {
			client.Close()
			continue
		}
		go l.copy(server, client)
		go l.copy(client, server)
	}
}

// add notes a connection, and reports false where the link is cut.
func (l *link) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		for _, conn := range conns {
			conn.Close()
		}
		return false
	}
	l.conns = append(l.conns, conns...)
	return true
}

func (l *link) copy(to io.WriteCloser, from io.Reader) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.await()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// await returns when bytes go on.
func (l *link) await() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}
