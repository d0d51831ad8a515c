// Package anchor speaks to Anchor Browser's API: it submits a web task and asks after its workflow.
//
// One call of a method is at most one request on the wire. Nothing here waits or tries again; instead
// the error of a submission says whether it was refused, was not accepted for now, or may have been
// accepted (task.Outcome), and whoever calls decides.
//
// Neither errors nor metrics contain the API key. The texts of errors may repeat what a request said.
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
)

// What is read of an answer, in bytes. The rest of a larger one is not looked at.
const (
	maxAnswer = 1 << 20 // of a submission, and of every error

	// MaxAnswer is the most that is read of a successful answer to Status.
	MaxAnswer = 32 << 20
)

// webTask is the path of both calls.
const webTask = "/v1/tools/perform-web-task"

// Client calls the API. Its methods may be called by many goroutines at once.
type Client struct {
	transport *http.Transport // no http.Client: it would follow redirects, and send the key along
	base      string          // without a slash at its end
	agent     string          // of the user-agent header
	timeout   time.Duration   // of a call, its body included
	late      error           // what a call ends with that takes longer
	key       *keySource
	metrics   metrics
}

// New returns a client that calls itself capstan/version. The error names every mistake in cfg, a line
// each, and the key file where that cannot be read.
func New(cfg Config, version string, reg prometheus.Registerer) (*Client, error) {
	if mistakes := cfg.Validate(); len(mistakes) > 0 {
		return nil, errors.New(strings.Join(mistakes, "\n"))
	}
	key, err := newKeySource(cfg)
	if err != nil {
		return nil, fmt.Errorf("read API key: %w", err)
	}
	return &Client{
		transport: newTransport(),
		base:      strings.TrimRight(cfg.BaseURL, "/"),
		agent:     "capstan/" + version,
		timeout:   cfg.RequestTimeout,
		late:      fmt.Errorf("no complete answer within %v", cfg.RequestTimeout),
		key:       key,
		metrics:   newMetrics(reg),
	}, nil
}

// Close closes the connections that are kept for later calls. Calls under way are not disturbed.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Timeout is how long a call may take: the configured one.
func (c *Client) Timeout() time.Duration { return c.timeout }

// call makes one request and reads its answer, all within the client's timeout. An error means that
// there was no answer; an answer that could not be read to its end says so itself.
func (c *Client) call(ctx context.Context, method, target string, body []byte, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, c.late)
	defer cancel()
	key := c.key.current()
	req, err := c.newRequest(ctx, method, target, body, key)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, key: key, size: resp.ContentLength}
	if !a.ok() {
		limit = maxAnswer
	}
	a.body, a.err = readAll(resp.Body, limit)
	return a, nil
}

// newRequest leaves GetBody unset: net/http sends a body again only if it can rewind it. For the same
// reason no Idempotency-Key may be added here.
func (c *Client) newRequest(ctx context.Context, method, target string, body []byte, key string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, http.NoBody)
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("make request: %w", urlErr.Err) // without the URL, which names the session
	}
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header = http.Header{"Anchor-Api-Key": {key}, "Accept": {"application/json"}, "User-Agent": {c.agent}}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return req, nil
}

// errTooLarge: an answer has more bytes than are read of one.
var errTooLarge = errors.New("the answer is too large")

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return data, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(data)) > limit {
		return data[:limit], errTooLarge
	}
	return data, nil
}
