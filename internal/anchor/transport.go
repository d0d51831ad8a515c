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
	// dialTimeout bounds the connection, and again the TLS handshake.
	dialTimeout = 10 * time.Second

	// maxConns bounds the connections to the API, and so the concurrent calls. Further calls wait.
	maxConns = 512

	// maxIdle is how long an unused connection is kept. A request on a connection that the server is just closing has an
	// unknown outcome, so the client must close first. Servers keep idle connections for 5 s (Node.js) or longer.
	maxIdle = 4 * time.Second

	maxHeader = 64 << 10 // bytes of an answer's header
)

// newTransport returns a transport for HTTP/1.1 only. A connection then carries one request at a time, so the bytes
// written to it show whether that request left; and a connection that died silently fails only one call.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxyResponse,
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

// proxyError means that a proxy refused to connect to the API. No part of the request left.
type proxyError struct{ status int }

// Error returns the status of the proxy and its meaning.
func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy does not connect to the API: %d: %s", e.status, statusText(e.status))
}

// checkProxyResponse makes a refused CONNECT an error of its own type, which net/http otherwise hides in a text.
func checkProxyResponse(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{status: resp.StatusCode}
	}
	return nil
}

// countingConn counts the writes that may have sent something. The goroutine of net/http that writes to the
// connection adds to the count, and the one that made the request reads it, so it is atomic.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

// Write counts itself before it writes, so that the count is never too low. A write that failed without a
// byte is taken back.
func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.Conn.Write(b)
	if n == 0 {
		c.writes.Add(-1)
	}
	return n, err
}

// sending observes whether any byte of one request may have left. It belongs to the goroutine that makes
// the request.
type sending struct {
	connected bool
	began     time.Time // when there was a connection

	// conn is nil if it was not found below the layers of TLS. The request then counts as sent as soon as
	// it has a connection.
	conn   *countingConn
	before int64 // writes to conn before the request
}

// watchSending returns a context for a single request, and its observer. net/http calls GotConn on the goroutine that
// makes the request, so the observer needs no lock.
func watchSending(ctx context.Context) (context.Context, *sending) {
	s := &sending{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			s.connected, s.began = true, time.Now()
			if s.conn = dialedConn(info.Conn); s.conn != nil {
				s.before = s.conn.writes.Load()
			}
		},
	}), s
}

// mayHaveLeft reports whether any byte of the request may have left. Call it after the request failed: net/http has then
// stopped writing. A TLS alert that is sent while the connection closes counts as well, which errs on the safe side.
func (s *sending) mayHaveLeft() bool {
	return s.connected && (s.conn == nil || s.conn.writes.Load() != s.before)
}

// dialedConn returns the connection that newTransport dialed, without the layers of TLS around it, or nil.
func dialedConn(conn net.Conn) *countingConn {
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
