package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// client is a connection to the queue, and the settings that name its streams and buckets. The commands use
// it from one goroutine. connect creates it, and whoever does so closes nc.
type client struct {
	cfg    app.Config
	nc     *nats.Conn
	js     jetstream.JetStream
	server string // the address that it connected to first, without a login

	// denied is the last permission violation. NATS reports it apart from the call, which gets no answer.
	denied *atomic.Pointer[error]
}

// connect connects with the settings of the environment, or with a context of the nats command. It gives up if no server
// answers within five seconds. opts are added to the options of every tool. A usageError names the settings that cannot be
// used. The caller must close nc.
func connect(opts ...nats.Option) (*client, error) {
	cfg, err := app.LoadToolConfig()
	if err != nil {
		return nil, usageError{err}
	}
	denied := &atomic.Pointer[error]{}
	nc, err := connectNATS(&cfg.NATS, append([]nats.Option{nats.ErrorHandler(noteErrors(denied, newTerminal()))}, opts...)...)
	if err != nil {
		return nil, err
	}
	js, err := cfg.NATS.JetStream(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &client{cfg: cfg, nc: nc, js: js, server: nc.ConnectedUrlRedacted(), denied: denied}, nil
}

// noteErrors returns a handler of the errors that NATS reports apart from a call. It keeps a permission violation, which
// the call that meets it then reports. An error of the connection is not printed: the client reconnects, and until then
// each call reports it. Any other error is printed, and of equal ones in a row only the first. NATS calls the handler for
// one error at a time.
func noteErrors(denied *atomic.Pointer[error], t *terminal) nats.ErrHandler {
	told := ""
	return func(_ *nats.Conn, _ *nats.Subscription, err error) {
		_, isLink := errors.AsType[net.Error](err)
		switch {
		case errors.Is(err, nats.ErrPermissionViolation):
			denied.Store(&err)
		case isLink, errors.Is(err, io.EOF), err.Error() == told:
		default:
			told = err.Error()
			t.complain(fmt.Errorf("NATS reported an error: %w", err))
		}
	}
}

// explain returns why a call with ctx got no answer: the connection was closed for good, the server has no JetStream, or the
// login lacks a permission. If none is the reason, it returns err.
func (c *client) explain(ctx context.Context, err error) error {
	if closed, ok := errors.AsType[closedError](context.Cause(ctx)); ok {
		return closed
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return natsError{fmt.Errorf("no JetStream at %s, domain %q: check NATS_JS_DOMAIN, or the context", c.url(), c.cfg.NATS.JSDomain)}
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		return natsError{errors.New(c.cfg.Streams().MissingPermission(err))}
	}
	denied := c.denied.Load()
	if denied == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
		return err
	}
	return natsError{errors.New(c.cfg.Streams().MissingPermission(*denied))}
}

// url is the address of the connected server, or of the first one while there is none. It has no login, so that it can be
// shown in messages.
func (c *client) url() string { return cmp.Or(c.nc.ConnectedUrlRedacted(), c.server) }

// queue is the queue for what the commands do with it.
func (c *client) queue() operator.Queue { return operator.Queue{Conn: c.nc, JS: c.js, Config: c.cfg} }

// nextPoll is fleet.NextPoll.
func (c *client) nextPoll(ctx context.Context, id string) time.Time {
	return fleet.NextPoll(ctx, c.nc, id)
}

// whileConnected returns a context that ends with ctx, and also when the connection is closed for good: a
// client gives up if a server refuses its login twice. Its cause is then an error for the user.
func (c *client) whileConnected(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	end := func(nc *nats.Conn) { cancel(closedError{url: c.server, reason: nc.LastError()}) }
	c.nc.SetClosedHandler(end)
	if c.nc.IsClosed() { // before it had the handler
		end(c.nc)
	}
	return ctx, func() { cancel(context.Canceled) }
}

// causeOf returns the error of a call that ended with ctx: that the connection was closed, if that is why ctx has ended,
// or else err.
func causeOf(ctx context.Context, err error) error {
	if closed, ok := errors.AsType[closedError](context.Cause(ctx)); ok {
		return closed
	}
	return err
}

// closedError says that the connection to NATS was closed for good.
type closedError struct {
	url    string
	reason error // may be nil
}

func (e closedError) Error() string {
	if e.reason == nil {
		return "the connection to NATS at " + e.url + " was closed"
	}
	return fmt.Sprintf("the connection to NATS at %s was closed: %v", e.url, e.reason)
}

// published is a request that was stored, and all that is needed to recognize its event.
type published struct {
	// taskID is the id that a worker will give the task: the one in the request, or else the default, which
	// contains the name of the stream and the sequence.
	taskID string
	// stream and seq are where the request is stored.
	stream string
	seq    uint64
	// digest is that of the request's content. The event of a task that the request repeats has the same.
	digest string
}

// publish stores a valid request and returns the id of its task. It sets no Nats-Msg-Id: the stream would
// silently drop a second request with the same one, while a worker answers it, with the event of the task
// or with duplicate_task.
//
// The error says whether the request may be stored. A lost answer leaves that open; publishing again is
// then safe if the request has a task_id, since a given id runs at most once.
func (c *client) publish(ctx context.Context, request []byte) (published, error) {
	ack, err := c.js.Publish(ctx, c.cfg.Request.Subject, request)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return published{}, natsError{fmt.Errorf("no stream listens on %s at %s; start a worker first, it creates the streams", c.cfg.Request.Subject, c.url())}
	case errors.Is(err, nats.ErrMaxPayload):
		return published{}, usageError{fmt.Errorf("the request is too large: it has %d bytes, and %s accepts %d", len(request), c.url(), c.nc.MaxPayload())}
	}
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok {
		return published{}, natsError{fmt.Errorf("%s refused the request, nothing is stored: %s (%d)", c.url(), refusal.Description, refusal.ErrorCode)}
	}
	if err != nil {
		return published{}, fmt.Errorf("publish to %s at %s (the request may or may not be stored): %w", c.cfg.Request.Subject, c.url(), c.explain(ctx, err))
	}
	// The default id contains the sequence, so the id is known only now.
	stored, err := task.ParseRequest(task.Delivery{Stream: ack.Stream, Seq: ack.Sequence, Data: request}, defaults(c.cfg))
	if err != nil {
		return published{}, fmt.Errorf("read the stored request: %w", err)
	}
	return published{taskID: stored.TaskID, stream: ack.Stream, seq: ack.Sequence, digest: stored.Digest}, nil
}

// checkRequest returns a usageError for a request that a worker would refuse, or that has already expired.
// It applies the same rules as a worker, so the user learns at once what would otherwise arrive as a failed
// event.
func checkRequest(cfg app.Config, request []byte) error {
	r, err := task.ParseRequest(task.Delivery{Stream: cfg.Request.Stream, Data: request}, defaults(cfg))
	if err != nil {
		return usageError{err}
	}
	if now := time.Now(); !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(now) {
		return usageError{fmt.Errorf("expires_at (--expires-at) must be later than now, %s (got %s)",
			now.UTC().Format(time.RFC3339), r.ExpiresAt.Format(time.RFC3339))}
	}
	return nil
}

// defaults returns the defaults for reading a request here. They have no effect on the task: the worker
// that runs it uses its own.
func defaults(cfg app.Config) task.Defaults { return task.Defaults{Timeout: cfg.Task.Timeout} }

// missing is the error for a stream or bucket that does not exist. Workers create them, so most often none
// has run yet, or NATS_URL names another server than theirs.
func (c *client) missing(what, name string) error {
	return natsError{fmt.Errorf("no %s %s at %s; start a worker first, it creates the streams", what, name, c.url())}
}
