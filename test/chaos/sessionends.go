package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// sessionGrace is how long after its event a task may have an open session.
	sessionGrace = 30 * time.Second

	// fenceTime is how long a worker may take to end a session and to be certain what its agent did.
	fenceTime = 25 * time.Second
)

// awaitSessions waits until no session of a task is open, or until none may be.
func (w *world) awaitSessions(ctx context.Context) error {
	if !w.sessions {
		return nil
	}
	err := process.Until(ctx, "no session is open", sessionGrace+time.Second, func() error {
		open, err := w.countSessions(ctx, func(s anchortest.SessionLog) bool { return s.Ended.IsZero() })
		if err == nil && open > 0 {
			err = errOpenSessions
		}
		return err
	})
	if errors.Is(err, errOpenSessions) { // the verdict shows whether they may be open
		return nil
	}
	return err
}

// errOpenSessions is why awaitSessions waits.
var errOpenSessions = errors.New("sessions are open")

// countSessions returns how many sessions that workers created are as matches says.
func (w *world) countSessions(ctx context.Context, matches func(anchortest.SessionLog) bool) (n int, err error) {
	logs, err := w.api.sessions(ctx)
	for _, log := range logs {
		if matches(log) {
			n++
		}
	}
	return n, err
}

// collectSessions gathers what became of the sessions. With SESSIONS=off it gathers nothing.
func (w *world) collectSessions(ctx context.Context, e *verdict.Evidence) error {
	if !w.sessions {
		return nil
	}
	logs, err := w.api.sessions(ctx)
	if err != nil {
		return err
	}
	e.Sessions = &verdict.Sessions{Of: map[string][]anchortest.SessionLog{}, Seen: time.Now(), Grace: sessionGrace, Late: rulesOf(w.seed).FiguresDelay > 0}
	for _, log := range logs {
		id, err := taskOf(log)
		if err != nil {
			return err
		}
		e.Sessions.Of[id] = append(e.Sessions.Of[id], log)
	}
	return nil
}

// taskOf returns the task for which a session was created.
func taskOf(log anchortest.SessionLog) (id string, err error) {
	for _, tag := range log.Tags {
		if id, ok := strings.CutPrefix(tag, task.SessionTag("")); ok {
			return id, nil
		}
	}
	return "", fmt.Errorf("session %s has no tag that names its task", log.ID)
}

// measureSessions adds to the table how many sessions there were, and how many tasks were run again because a session showed
// that they could be.
func (w *world) measureSessions(e verdict.Evidence) {
	if !w.sessions {
		return
	}
	sessions, again := 0, 0
	for _, a := range w.asked {
		sessions += len(e.Sessions.Of[a.id])
		if a.want.Fence && e.Runs[a.id].Accepted > 1+a.want.Retries {
			again++
		}
	}
	w.measured = append(w.measured, fmt.Sprintf("%d sessions, %d runs repeated by the fence", sessions, again))
}
