package pipeline_test

import (
	"context"
	"errors"
	"sync"
)

// steps decides what happens at each step of a worker. It calls act to let the step happen.
type steps interface {
	do(step string, act func() error) error
}

// healthy lets each step happen.
type healthy struct{}

func (healthy) do(_ string, act func() error) error { return act() }

var (
	errDied     = errors.New("the worker died")
	errPanicked = errors.New("the handler panicked")
)

// death is a worker that dies at a step, before it happens or just after. A dead worker does nothing more.
type death struct {
	step     string
	happened bool
	survives int                // how often it survives the step before
	died     context.CancelFunc // ends the context of a poller that would poll forever; may be nil

	mu   sync.Mutex
	dead bool
}

func (d *death) do(step string, act func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDied
	}
	if step != d.step {
		return act()
	}
	if d.survives > 0 {
		d.survives--
		return act()
	}
	d.dead = true
	if d.happened {
		_ = act()
	}
	if d.died != nil {
		d.died()
	}
	return errDied
}

// stall is a worker that stops the first time before a step, or right after it, until resume is closed.
type stall struct {
	step            string
	after           bool
	reached, resume chan struct{}
}

func newStall(step string) stall {
	return stall{step: step, reached: make(chan struct{}), resume: make(chan struct{})}
}

func (s stall) do(step string, act func() error) (err error) {
	if step != s.step || s.stalled() {
		return act()
	}
	if s.after {
		err = act()
	}
	close(s.reached)
	<-s.resume
	if !s.after {
		err = act()
	}
	return err
}

func (s stall) stalled() bool {
	select {
	case <-s.reached:
		return true
	default:
		return false
	}
}

// stepFunc is a worker whose steps a test decides by itself.
type stepFunc func(step string, act func() error) error

func (f stepFunc) do(step string, act func() error) error { return f(step, act) }

// endless is a worker whose workflows do not end: the API is not asked.
func endless(step string, act func() error) error {
	if step == "status" {
		return nil
	}
	return act()
}
