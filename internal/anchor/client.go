package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/task"
)

// webTask is the path of a submission, and the beginning of the path of a status call.
const webTask = "/v1/tools/perform-web-task"

// Client calls the API. Its methods may be called by many goroutines at once: no field changes after New,
// except that keys holds a new key when the key file changes.
type Client struct {
	transport *http.Transport // not an http.Client, which follows redirects and sends the key to the new host
	base      string          // URL without a slash at its end
	userAgent string

	// timeout bounds a call, from the wait for a connection to the end of the answer's body.
	timeout    time.Duration
	errTimeout error // the cause of a context that ends by the timeout
	keys       *keySource
	metrics    metrics
	noteStarts func(task.Starts)
}

// Option changes the client that New returns.
type Option func(*Client)

// WithStarts sets a function that is called for each answer to a submission or to the creation of a session, accepted or not,
// that says how many more the API accepts. It is called before the call returns, by many goroutines at once.
func WithStarts(note func(task.Starts)) Option { return func(c *Client) { c.noteStarts = note } }

// New returns a client whose User-Agent is capstan/version, and registers its metrics with reg, which must
// not have them yet. It makes no call. The error names every mistake in cfg, one on each line. A key file
// is read, and later only Run reads it again.
func New(cfg Config, version string, reg prometheus.Registerer, opts ...Option) (*Client, error) {
	if mistakes := cfg.Validate(); len(mistakes) > 0 {
		return nil, errors.New(strings.Join(mistakes, "\n"))
	}
	keys, err := newKeySource(cfg)
	if err != nil {
		return nil, fmt.Errorf("read API key: %w", err)
	}
	c := &Client{
		transport:  newTransport(),
		base:       strings.TrimRight(cfg.BaseURL, "/"),
		userAgent:  "capstan/" + version,
		timeout:    cfg.RequestTimeout,
		errTimeout: fmt.Errorf("no complete answer within %v", cfg.RequestTimeout),
		keys:       keys,
		metrics:    newMetrics(reg),
		noteStarts: func(task.Starts) {},
	}
	for _, opt := range opts {
		opt(c)
	}
	return c, nil
}

// Close closes idle connections. It does not interrupt calls.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Timeout returns how long a call may take. A call that has not ended by then fails, and the outcome of a
// submission may be unknown.
func (c *Client) Timeout() time.Duration { return c.timeout }

// call sends one request and reads the answer, within the client's timeout. It reads at most limit bytes of
// a success. It returns an error if there is no answer; if the body of an answer is incomplete, answer.err
// says why. The caller judges the status.
func (c *Client) call(ctx context.Context, method, target string, body []byte, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, c.errTimeout)
	defer cancel()
	a := answer{keys: c.keys.all()} // those in use before this call: the key may change during it
	a.path, _, _ = strings.Cut(target, "?")
	req, err := c.newRequest(ctx, method, target, body, a.keys[0])
	if err != nil {
		return answer{}, err
	}
	resp, err := c.transport.RoundTrip(req)
	// A proxy that wants a login is not an API that cannot be reached: an operator must act.
	if proxy, ok := errors.AsType[*proxyError](err); ok && proxy.status == http.StatusProxyAuthRequired {
		a.status = proxy.status // as if the proxy had answered the request itself
		return a, nil
	}
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	switch {
	case a.status < 200: // the body of a 101 is the connection itself, and reading it would ignore ctx
		return a, nil
	case a.isSuccess():
		return a.readBody(resp, limit, method == http.MethodPost), nil
	default:
		return a.readBody(resp, maxError, true), nil
	}
}

// newRequest leaves GetBody unset, and must never set Idempotency-Key: with either, net/http may send a POST twice when
// a kept-alive connection dies. Accept-Encoding keeps net/http from asking for compressed answers.
func (c *Client) newRequest(ctx context.Context, method, target string, body []byte, key string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, http.NoBody)
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("create request: %w", urlErr.Err) // without the URL, which names the session
	}
	if err != nil {
		return nil, fmt.Errorf("create request: %w", err)
	}
	req.Header = http.Header{
		"Anchor-Api-Key": {key}, "Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {c.userAgent},
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return req, nil
}

// message returns the error's text for people, without API keys, and truncated. Errors of net/http can
// quote parts of an answer.
func (c *Client) message(err error) string { return publicText(err.Error(), c.keys.all()) }
