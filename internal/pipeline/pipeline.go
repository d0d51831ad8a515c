// Package pipeline is the program's straight line: request → submit → track → poll → publish. Read
// Handle first; every other file of the package is one of its words.
//
// A request stays un-acknowledged until its event is stored, and the record says how far its task has
// come: between them nothing else needs to survive a crash. docs/design.md walks through what dies when.
package pipeline

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests is the stream the requests are pulled from.
type Requests interface {
	// StoredAt returns when the stream stored the request with this sequence, or task.ErrNoRequest.
	StoredAt(ctx context.Context, seq uint64) (time.Time, error)
	// Created returns when the stream was created, by the server's clock.
	Created(ctx context.Context) time.Time
}

// Admission says when a submission may leave.
type Admission interface {
	// Acquire waits until a submission may leave. release is called once, with what Submit returned, or with
	// task.ErrNotSubmitted.
	Acquire(ctx context.Context, sessionID string) (release func(error), err error)
	// Accepted counts the submissions that the API accepted from this worker.
	Accepted() uint64
	// Paused reports whether submissions are paused, why, and until when.
	Paused() (reason task.Reason, until time.Time, paused bool)
}

// Submitter starts workflows.
type Submitter interface {
	// Submit posts a task and returns its workflow's id, or a *task.SubmitError.
	Submit(ctx context.Context, sessionID string, body []byte) (workflowID string, err error)
}

// Tracker keeps the records, and the counts of deliveries beside them; see task.ErrRecordExists, task.ErrNotOwner,
// task.ErrRecordLost, task.ErrBucketRecreated and task.ErrNoRecord.
type Tracker interface {
	Create(ctx context.Context, rec task.Record) (task.Record, error)
	Save(ctx context.Context, rec task.Record) (task.Record, error)
	Get(ctx context.Context, taskID string) (task.Record, error)
	Deliveries(ctx context.Context, m task.Delivery) (task.DeliveryCount, error)
	SaveDeliveries(ctx context.Context, d task.DeliveryCount) error
	// Created returns when the bucket was created, by the server's clock, as of an answer no older than maxAge.
	Created(ctx context.Context, maxAge time.Duration) (time.Time, error)
}

// Poller waits for workflows.
type Poller interface {
	// Wait returns when the workflow ended, was lost, or its time was up, or with the error of ctx. The ending then
	// holds what was learned so far; it is never nil.
	Wait(ctx context.Context, w *task.Watch) (*task.Outcome, error)
}

// Publisher stores events and dead letters.
type Publisher interface {
	// Publish returns the event that is stored, which an earlier delivery may have published.
	// again says that one may have.
	Publish(ctx context.Context, m task.Delivery, ev task.Event, again bool) (stored task.Event, seq uint64, err error)
	PublishPerRequest(ctx context.Context, m task.Delivery, ev task.Event, again bool) error
	Replay(ctx context.Context, m task.Delivery, taskID string, seq uint64) error
	DeadLetter(ctx context.Context, m task.Delivery, data []byte, reason string) error
}

// Config is what the pipeline has to know of its worker.
type Config struct {
	Worker   string        // its name: the owner on records, the worker on events
	Defaults task.Defaults // of requests

	// PostTimeout is how long a submission may take at the longest, from the record that announces it to the record
	// of its answer. It is longer than the call by more than startWithin.
	PostTimeout time.Duration
	// OwnerGrace is how long a task that was found in the middle of its submission is watched at least: its owner
	// may be alive, cut off from NATS, and about to record the answer.
	OwnerGrace time.Duration

	Keys   func() []string   // the API keys of this worker, which no event may show; nil: none
	Clock  *servertime.Clock // of the NATS server
	Tracer trace.Tracer      // makes the spans of tasks; nil: there are none
}

// Parts are what a task goes through, in the order it meets them.
type Parts struct {
	Requests  Requests
	Admission Admission
	API       Submitter
	Tracker   Tracker
	Poller    Poller
	Publisher Publisher
}

// Pipeline runs tasks. It holds no state of any, but for a gauge when those that wait were stored, and what
// interrupts the waits for workflows.
type Pipeline struct {
	Parts
	cfg     Config
	log     zerolog.Logger
	metrics metrics
	line    *line
	waits   *waits

	keysOnly keysOnly
}

// New returns a pipeline through these parts.
func New(cfg Config, p Parts, reg prometheus.Registerer, log zerolog.Logger) *Pipeline {
	line := newLine()
	return &Pipeline{Parts: p, cfg: cfg, log: log, metrics: newMetrics(reg, line.oldest), line: line, waits: newWaits()}
}

// Handle takes one request from its delivery to its end. nil: the request is done, and everything final is an event,
// failures included. An error means that the request must come back; task.ErrNotOwner, that another worker has it.
func (p *Pipeline) Handle(ctx context.Context, m *task.Delivery) error {
	r, err := p.receive(ctx, m)
	if r == nil {
		return err
	}
	defer r.end(ctx)
	ctx = r.beginTrace(ctx)
	rec, done, err := r.claim(ctx)
	if done || err != nil {
		return err
	}
	rec, out, err := r.submit(ctx, rec)
	if err == nil && out == nil { // its workflow runs
		rec, out, err = r.wait(ctx, rec)
	}
	if err != nil {
		return err
	}
	defer out.ending.Release()
	return r.publish(ctx, rec, out)
}

// receive counts the delivery and reads the request. It returns no run for a request that is over with that: one that
// is poisoned, or that breaks a rule.
func (p *Pipeline) receive(ctx context.Context, m *task.Delivery) (*run, error) {
	deliveries, poisoned, err := p.countDelivery(ctx, m)
	if err != nil {
		return nil, err
	}
	if poisoned {
		return nil, p.endPoisoned(ctx, m, deliveries)
	}
	req, err := p.read(m)
	if err != nil {
		return nil, p.refuse(ctx, m, err)
	}
	return p.newRun(req, deliveries), nil
}

// read reads a request. Its bytes are then dropped from the message, unless they break a rule.
func (p *Pipeline) read(m *task.Delivery) (req *task.Request, err error) {
	m.WhileBusy(func() { req, err = task.ParseRequest(*m, p.cfg.Defaults) })
	if err == nil {
		m.Data = nil
	}
	return req, err
}

// outcome is how a task ended.
type outcome struct {
	verdict task.Verdict
	ending  task.Outcome // of the wait for its workflow; zero where none ran
}

// run is one delivery's way through the steps.
type run struct {
	*Pipeline
	req        *task.Request
	deliveries task.DeliveryCount // without a step forward; its Count is 0 where none are counted
	saved      time.Time          // when this run last wrote the record, by this machine's clock
	release    func(error)        // of its place among the submissions, while it has one
	own        ownRefusals

	span trace.Span // of the task; nil without a Tracer

	step  step      // where it is, for the metrics
	since time.Time // when it came there
}

func (p *Pipeline) newRun(req *task.Request, deliveries task.DeliveryCount) *run {
	if req.UnusedMessageID != "" {
		p.log.Warn().Str("task", req.TaskID).Str("message_id", req.UnusedMessageID).
			Msg("Nats-Msg-Id cannot be a task id, a later copy of the request will be another task")
	}
	r := &run{Pipeline: p, req: req, deliveries: deliveries}
	r.enterStep(stepClaim)
	return r
}

// end releases what the run still has when it is over, however it ended. A drain is no fault of the task.
func (r *run) end(ctx context.Context) {
	r.releasePlace(task.ErrNotSubmitted)
	if ctx.Err() != nil {
		r.stepForward(ctx)
	}
	r.enterStep(stepNone)
	r.endTrace()
}

// failed is the outcome of a task that ends without a workflow's answer. If an earlier POST had an unknown outcome,
// the task is submission_unknown whatever came of the second.
func failed(rec *task.Record, code task.Code, message string) *outcome {
	if rec.UnknownOnce() && code != task.SubmissionUnknown {
		code, message = task.SubmissionUnknown, "the API may or may not have accepted it the first time, and then: "+message
	}
	return &outcome{verdict: task.Verdict{Error: task.NewError(code, message)}}
}
