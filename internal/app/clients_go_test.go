package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan"
	"github.com/capstan-worker/capstan/internal/task"
)

// goClient is a program that uses package capstan.
func goClient(*testing.T) client {
	return func(ctx context.Context, url, request string) printed {
		event, result, err := submit(ctx, url, request)
		if err != nil {
			return printed{Error: err.Error()}
		}
		return printed{Event: event, Result: result}
	}
}

func submit(ctx context.Context, url, request string) (*task.Event, json.RawMessage, error) {
	ignore := func(*nats.Conn, *nats.Subscription, error) {}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ErrorHandler(ignore))
	if err != nil {
		return nil, nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	var r capstan.Request
	if err := json.Unmarshal([]byte(request), &r); err != nil {
		return nil, nil, err
	}
	tasks := capstan.New(js, capstan.Config{})
	event, err := tasks.Submit(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	result, err := tasks.Result(ctx, event)
	if err != nil {
		return nil, nil, err
	}
	// As the workers' own type: a member that the client does not know would be missing.
	data, err := json.Marshal(event)
	same := new(task.Event)
	return same, result, errors.Join(err, json.Unmarshal(data, same))
}
