package anchor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 10 * time.Second // and of the TLS handshake, each

	// maxConns bounds the connections to the API, and so the calls at once. Others wait for one.
	maxConns = 512

	// maxIdle is for how long an unused connection is kept. A request that meets a connection which the
	// server is just closing has an unknown outcome, so the client closes first: servers keep theirs for
	// 5 s (Node.js) or longer.
	maxIdle = 4 * time.Second

	maxHeader = 64 << 10 // bytes of an answer's header
)

// newTransport speaks HTTP/1.1 only. One connection then carries one request at a time, which is what
// allows to tell whether a request left; and a connection that died silently fails one call, not all.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: connectAnswer,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countingConn{Conn: conn}, nil
		},
		TLSHandshakeTimeout:    dialTimeout,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        maxIdle,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
	}
}

// proxyError is a proxy's refusal to connect to the API. Nothing of the request has left.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy does not connect to the API: %d: %s", e.status, statusWords(e.status))
}

func connectAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{status: resp.StatusCode}
	}
	return nil
}

// countingConn counts the writes of which something may have left.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.Conn.Write(b)
	if n == 0 {
		c.writes.Add(-1)
	}
	return n, err
}

// sending knows whether any byte of one request can have left.
type sending struct {
	connected bool
	conn      *countingConn
	before    int64 // writes of conn before the request
}

// watchSending returns a context for one request that is not repeated, and what watches it. net/http
// calls GotConn on the goroutine that makes the request.
func watchSending(ctx context.Context) (context.Context, *sending) {
	s := &sending{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			s.connected = true
			if s.conn = beneath(info.Conn); s.conn != nil {
				s.before = s.conn.writes.Load()
			}
		},
	}), s
}

// possible is to be asked after the request has failed: net/http then has ended whoever wrote it. A TLS
// alert that is written when a connection closes counts as well, which errs to the safe side.
func (s *sending) possible() bool {
	return s.connected && (s.conn == nil || s.conn.writes.Load() != s.before)
}

// beneath finds the connection that newTransport dialed under the layers of TLS, or nil.
func beneath(conn net.Conn) *countingConn {
	for {
		switch c := conn.(type) {
		case *countingConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
