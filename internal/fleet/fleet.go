// Package fleet shows all workers that run, each as a service of NATS' micro framework (NATS' ADR-32): `nats service ls`
// lists them, each answers on [jet.StatusSubject] with what it does, and on [jet.TaskSubject] with what it does for a task.
//
// Nobody needs it to run tasks. A worker leaves the fleet rather than take a subscription from its own work.
package fleet

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
)

const (
	// Service is the name of the service of every worker.
	Service = "capstan-worker"
)

// Status is what a worker says about itself.
type Status struct {
	Worker      string `json:"worker"`
	Version     string `json:"version"`
	InProgress  int    `json:"in_progress"`   // tasks on this worker
	Running     int    `json:"running"`       // of these, the tasks whose workflow runs
	MaxInFlight int    `json:"max_in_flight"` // the most tasks that it takes
	Limit       int    `json:"limit"`         // the most that all workers take together; 0: not known yet
	Plan        int    `json:"plan"`          // browsers of the plan; -1: no limit, 0: not known
	Submissions string `json:"submissions"`   // "ok", or why they are paused and until when
	Polls       string `json:"polls"`         // the same of status calls
}

// Member is a worker's place in the fleet. Its methods may be called by many goroutines at once.
type Member struct {
	log zerolog.Logger

	mu         sync.Mutex
	ended      bool          // Join has no effect any more; guarded by mu
	nc         *nats.Conn    // nil before Join; guarded by mu
	service    micro.Service // nil if the worker is not in the fleet; guarded by mu
	reconnects uint64        // of nc, when it joined; guarded by mu
	tooMany    time.Time     // when it left because of the limit on subscriptions; guarded by mu
}

// New returns a Member that has not joined.
func New(log zerolog.Logger) *Member { return &Member{log: log} }

// Join makes the worker visible until Leave is called, or until the connection is closed. Only the first call has an
// effect, and none after Leave. status and find are called for each question, by several goroutines at once. find returns
// false for a task that this worker does not have; a nil find has none.
//
// It takes eleven subscriptions, so call it after those that the worker needs exist.
func (m *Member) Join(nc *nats.Conn, version string, status func() Status, find func(taskID string) (TaskStatus, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || m.nc != nil {
		return
	}
	m.nc, m.reconnects = nc, nc.Stats().Reconnects
	service, err := newService(nc, version, status, find)
	if err != nil {
		m.log.Warn().Err(err).Msg("worker not listed as a service")
		return
	}
	m.service = service
}

func newService(nc *nats.Conn, version string, status func() Status, find func(string) (TaskStatus, bool)) (micro.Service, error) {
	service, err := micro.AddService(nc, micro.Config{
		Name: Service, Version: semver(version), Description: "runs Anchor Browser web tasks from a queue",
		QueueGroupDisabled: true, // all workers answer
		Metadata:           map[string]string{"worker": status().Worker, "version": version},
		StatsHandler:       func(*micro.Endpoint) any { return status() },
	})
	if err != nil {
		return nil, fmt.Errorf("add service: %w", err)
	}
	answer := micro.HandlerFunc(func(r micro.Request) {
		if isInbox(r.Reply(), nc.Opts.InboxPrefix) {
			_ = r.RespondJSON(status()) // the asker has gone
		}
	})
	err = service.AddEndpoint("status", answer, micro.WithEndpointSubject(jet.StatusSubject), micro.WithEndpointQueueGroupDisabled())
	if err == nil {
		err = service.AddEndpoint("task", answerTask(nc.Opts.InboxPrefix, find), micro.WithEndpointSubject(jet.TaskSubject), micro.WithEndpointQueueGroupDisabled())
	}
	if err != nil {
		_ = service.Stop() // the first error says more
		return nil, fmt.Errorf("add endpoint: %w", err)
	}
	return service, nil
}

// isInbox reports whether a reply subject is an inbox: a usual one, or one with this worker's prefix, which others of the
// fleet have too. The asker chooses it, and the worker publishes to it with its own permissions: an answer must become
// neither a request nor a record.
func isInbox(reply, prefix string) bool {
	return strings.HasPrefix(reply, "_INBOX") || prefix != "" && strings.HasPrefix(reply, prefix+".")
}

// Leave ends the membership for good. Without a connection to NATS it does nothing now: the membership ends with the
// connection, and the client would add a ping for each subscription to what a drain waits for.
func (m *Member) Leave() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if m.nc == nil || !m.nc.IsConnected() {
		return nil
	}
	return m.stop()
}

// stop ends the service if there is one. The caller holds m.mu.
func (m *Member) stop() error {
	if m.service == nil {
		return nil
	}
	service := m.service
	m.service = nil
	if err := service.Stop(); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return nil
}

// semver returns a version in the form that the framework demands (semver.org), or 0.0.0 for a build without one.
func semver(version string) string {
	const (
		number  = `(0|[1-9]\d*)`
		part    = `(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)` // of a pre-release: a number has no leading zero
		build   = `[0-9a-zA-Z-]+`
		pattern = `^` + number + `\.` + number + `\.` + number + `(-` + part + `(\.` + part + `)*)?(\+` + build + `(\.` + build + `)*)?$`
	)
	version = strings.TrimPrefix(version, "v")
	if !regexp.MustCompile(pattern).MatchString(version) {
		return "0.0.0"
	}
	return version
}
