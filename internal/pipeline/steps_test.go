package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
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

// parts are a worker's tracker, publisher and API, with steps.
type parts struct {
	*tracker.Tracker
	*publisher.Publisher
	api *anchor.Client
	steps
}

func (p parts) Create(ctx context.Context, rec task.Record) (out task.Record, err error) {
	err = p.do("create", func() (err error) { out, err = p.Tracker.Create(ctx, rec); return err })
	return out, err
}

func (p parts) Save(ctx context.Context, rec task.Record) (out task.Record, err error) {
	err = p.do("save "+string(rec.State), func() (err error) { out, err = p.Tracker.Save(ctx, rec); return err })
	return out, err
}

func (p parts) SaveDeliveries(ctx context.Context, count task.DeliveryCount) error {
	return p.do(fmt.Sprint("count ", count.Count), func() error { return p.Tracker.SaveDeliveries(ctx, count) })
}

func (p parts) Publish(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) (out task.Event, seq uint64, err error) {
	err = p.do("publish", func() (err error) { out, seq, err = p.Publisher.Publish(ctx, d, ev, redelivered); return err })
	return out, seq, err
}

func (p parts) FindSince(ctx context.Context, d task.Delivery, ev task.Event, since time.Time) (out task.Event, seq uint64, found bool, err error) {
	err = p.do("find", func() (err error) { out, seq, found, err = p.Publisher.FindSince(ctx, d, ev, since); return err })
	return out, seq, found, err
}

func (p parts) Offload(ctx context.Context, d task.Delivery, ev task.Event) (out task.Event, err error) {
	err = p.do("offload", func() (err error) { out, err = p.Publisher.Offload(ctx, d, ev); return err })
	return out, err
}

func (p parts) PublishPerRequest(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) error {
	return p.do("publish per request", func() error { return p.Publisher.PublishPerRequest(ctx, d, ev, redelivered) })
}

func (p parts) Replay(ctx context.Context, d task.Delivery, id string, seq uint64) error {
	return p.do("replay", func() error { return p.Publisher.Replay(ctx, d, id, seq) })
}

func (p parts) DeadLetter(ctx context.Context, d task.Delivery, letter task.DeadLetter) error {
	return p.do("dead-letter", func() error { return p.Publisher.DeadLetter(ctx, d, letter) })
}

func (p parts) Submit(ctx context.Context, sessionID string, body []byte) (id string, err error) {
	err = p.do("submit", func() (err error) { id, err = p.api.Submit(ctx, sessionID, body); return err })
	return id, err
}

func (p parts) Status(ctx context.Context, id string, most int64) (wf task.Workflow, err error) {
	err = p.do("status", func() (err error) { wf, err = p.api.Status(ctx, id, most); return err })
	return wf, err
}

func (p parts) Timeout() time.Duration { return p.api.Timeout() }
