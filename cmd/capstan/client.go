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

// client is a connection to the queue.
type client struct {
	cfg app.Config
	nc  *nats.Conn
	js  jetstream.JetStream
}

// connect connects with the settings of the environment. The caller must close nc.
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

// url is the address of the connected server, without a login.
func (c *client) url() string { return c.nc.ConnectedUrlRedacted() }

// published is a request that was stored.
type published struct {
	taskID string
	seq    uint64 // in the stream of requests
}

// publish stores a valid request. It sets no Nats-Msg-Id: the stream would silently drop a second request with the same
// one, while a worker answers it, with the event of the task or with duplicate_task.
func (c *client) publish(ctx context.Context, request []byte) (published, error) {
	ack, err := c.js.Publish(ctx, c.cfg.Request.Subject, request)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return published{}, fmt.Errorf("no stream listens on %s at %s; start a worker first, it creates the streams", c.cfg.Request.Subject, c.url())
	case errors.Is(err, nats.ErrMaxPayload):
		return published{}, usageError{fmt.Errorf("the request is too large: it has %d bytes, and %s accepts %d", len(request), c.url(), c.nc.MaxPayload())}
	}
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok {
		return published{}, fmt.Errorf("%s refused the request, nothing is stored: %s (%d)", c.url(), refusal.Description, refusal.ErrorCode)
	}
	if err != nil {
		return published{}, fmt.Errorf("publish to %s at %s (the request may or may not be stored): %w", c.cfg.Request.Subject, c.url(), err)
	}
	stored, err := task.ParseRequest(task.Delivery{Stream: ack.Stream, Seq: ack.Sequence, Data: request}, defaults(c.cfg))
	if err != nil {
		return published{}, fmt.Errorf("read the stored request: %w", err)
	}
	return published{taskID: stored.TaskID, seq: ack.Sequence}, nil
}

// checkRequest returns an error for a request that a worker would refuse, or that has already expired.
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

// checkTaskID returns an error for an id that no task can have.
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

// defaults do not matter to a client: a worker uses its own.
func defaults(cfg app.Config) task.Defaults { return task.Defaults{Timeout: cfg.Task.Timeout} }

// missing is the error for a stream or bucket that does not exist.
func (c *client) missing(what, name string) error {
	return fmt.Errorf("no %s %s at %s; start a worker first, it creates the streams", what, name, c.url())
}
