package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/task"
)

// client is a connection to Capstan's queue.
type client struct {
	cfg app.Config
	nc  *nats.Conn
	js  jetstream.JetStream
}

// connect connects by the settings of the environment. Whoever calls it calls nc.Close.
func connect(opts ...nats.Option) (*client, error) {
	cfg, err := app.LoadToolConfig()
	if err != nil {
		return nil, usageError{err}
	}
	nc, err := streams.ConnectTool(cfg.NATS, opts...)
	if err != nil {
		return nil, err
	}
	js, err := cfg.NATS.JetStream(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &client{cfg: cfg, nc: nc, js: js}, nil
}

// url is the server it is connected to, without a login.
func (c *client) url() string { return c.nc.ConnectedUrlRedacted() }

// published is a request that is stored.
type published struct {
	taskID string
	seq    uint64 // in the stream of requests
}

// publish stores a request that keeps the rules. It sets no Nats-Msg-Id: within the stream's duplicate
// window a second request with the same one would be dropped in silence, while a worker answers it, with
// the task's event or by saying that the id is taken.
func (c *client) publish(ctx context.Context, request []byte) (published, error) {
	ack, err := c.js.Publish(ctx, c.cfg.Request.Subject, request)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return published{}, fmt.Errorf("no stream at %s takes %s: wait until a worker is ready, or start one; it creates the streams", c.url(), c.cfg.Request.Subject)
	case errors.Is(err, nats.ErrMaxPayload):
		return published{}, usageError{fmt.Errorf("the request has %d bytes, and %s takes %d", len(request), c.url(), c.nc.MaxPayload())}
	}
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok {
		return published{}, fmt.Errorf("%s refused it, and nothing is stored: %s (%d)", c.url(), refusal.Description, refusal.ErrorCode)
	}
	if err != nil {
		return published{}, fmt.Errorf("publish to %s at %s, which may or may not have stored it: %w", c.cfg.Request.Subject, c.url(), err)
	}
	stored, err := task.ParseRequest(task.Delivery{Stream: ack.Stream, Seq: ack.Sequence, Data: request}, defaults(c.cfg))
	if err != nil {
		return published{}, fmt.Errorf("read the request again: %w", err)
	}
	return published{taskID: stored.TaskID, seq: ack.Sequence}, nil
}

// checkRequest refuses a request that a worker would refuse, and one that would expire before a worker saw it.
func checkRequest(cfg app.Config, request []byte) error {
	r, err := task.ParseRequest(task.Delivery{Stream: cfg.Request.Stream, Data: request}, defaults(cfg))
	if err != nil {
		return usageError{err}
	}
	if now := time.Now(); !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(now) {
		return usageError{fmt.Errorf("expires_at (--expires-at) is %s, which has passed: give a time after now, %s",
			r.ExpiresAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	return nil
}

// checkTaskID refuses an id that no task can have.
func checkTaskID(id string) error {
	request, err := json.Marshal(map[string]string{"prompt": "p", "url": "https://example.com", "task_id": id})
	if err != nil {
		return err
	}
	if _, err := task.ParseRequest(task.Delivery{Data: request}, task.Defaults{}); err != nil {
		return usageError{err}
	}
	return nil
}

// defaults are of no consequence to a client: a worker uses its own.
func defaults(cfg app.Config) task.Defaults { return task.Defaults{Timeout: cfg.Task.Timeout} }

// missing says of a stream or bucket that it is not there.
func (c *client) missing(what, name string) error {
	return fmt.Errorf("no %s %s at %s: wait until a worker is ready, or start one; it creates what it needs", what, name, c.url())
}
