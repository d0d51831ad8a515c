// Package fleet shows all workers that run, each as a service of NATS' micro framework (NATS' ADR-32): `nats service ls`
// lists them, and each answers on StatusSubject with what it does.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// Service is the name of the service of every worker.
	Service = "capstan-worker"

	// StatusSubject is the subject on which each worker answers with its Status.
	StatusSubject = "capstan.worker.status"
)

// Status is what a worker says about itself.
type Status struct {
	Worker      string `json:"worker"`
	Version     string `json:"version"`
	InProgress  int    `json:"in_progress"`   // tasks on this worker
	Running     int    `json:"running"`       // of these, the tasks whose workflow runs
	MaxInFlight int    `json:"max_in_flight"` // the most tasks that it takes
	Submissions string `json:"submissions"`   // "ok", or why they are paused and until when
	Polls       string `json:"polls"`         // the same of status calls
}

// Join makes a worker visible until leave is called, or until the connection is closed. status is called for each
// question, by several goroutines at once.
func Join(nc *nats.Conn, version string, status func() Status) (leave func() error, err error) {
	answer := micro.HandlerFunc(func(r micro.Request) { _ = r.RespondJSON(status()) }) // the asker has gone
	service, err := micro.AddService(nc, micro.Config{
		Name: Service, Version: semver(version), Description: "runs Anchor Browser web tasks from a queue",
		QueueGroupDisabled: true, // all workers answer
		Metadata:           map[string]string{"worker": status().Worker, "version": version},
		StatsHandler:       func(*micro.Endpoint) any { return status() },
	})
	if err == nil {
		err = service.AddEndpoint("status", answer, micro.WithEndpointSubject(StatusSubject), micro.WithEndpointQueueGroupDisabled())
	}
	if err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	return service.Stop, nil
}

// askTime is how long All waits for the next answer.
const askTime = 300 * time.Millisecond

// All asks all workers that run for their status, and returns the answers that come. A worker that does not answer within
// 300 ms of the one before counts as one that does not run.
func All(ctx context.Context, nc *nats.Conn) ([]Status, error) {
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := nc.PublishRequest(StatusSubject, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	var all []Status
	for {
		next, cancel := context.WithTimeout(ctx, askTime)
		msg, err := answers.NextMsgWithContext(next)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("ask the workers: %w", err)
		}
		var s Status
		if json.Unmarshal(msg.Data, &s) == nil && s.Worker != "" {
			all = append(all, s)
		}
	}
}

// semver returns a version in the form that the framework demands (semver.org), or 0.0.0 for a build without one.
func semver(version string) string {
	version = strings.TrimPrefix(version, "v")
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`).MatchString(version) {
		return "0.0.0"
	}
	return version
}
