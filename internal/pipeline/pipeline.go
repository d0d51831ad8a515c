// Package pipeline is the program's straight line: request → submit → track → poll → publish. Read
// Handle first; every other file of the package is one of its words.
//
// A request stays un-acknowledged until its event is stored, and the record says how far its task has
// come: between them nothing else needs to survive a crash. docs/design.md walks through what dies when.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/contain"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests is the stream the requests are pulled from.
type Requests interface {
	// StoredAt returns when the stream stored the request with this sequence, or task.ErrNoRequest.
	StoredAt(ctx context.Context, seq uint64) (time.Time, error)
}

// Admission says when a submission may leave.
type Admission interface {
	// Acquire waits for the end of a pause, a free slot and the rate. release is called once, with what
	// Submit returned, or with task.ErrNotSubmitted.
	Acquire(ctx context.Context, sessionID string) (release func(error), err error)
	// Accepted counts the submissions that the API accepted from this worker.
	Accepted() uint64
}

// Submitter starts workflows.
type Submitter interface {
	// Submit posts a task and returns its workflow's id, or a *task.SubmitError.
	Submit(ctx context.Context, sessionID string, body []byte) (workflowID string, err error)
}

// Tracker keeps the records; see task.ErrRecordExists, task.ErrNotOwner and task.ErrNoRecord.
type Tracker interface {
	Create(ctx context.Context, rec task.Record) (task.Record, error)
	Save(ctx context.Context, rec task.Record) (task.Record, error)
	Get(ctx context.Context, taskID string) (task.Record, error)
}

// Poller waits for workflows.
type Poller interface {
	// Wait returns when the workflow ended, was lost, or its time was up, or with the error of ctx.
	Wait(ctx context.Context, w *task.Watch) (task.Ending, error)
}

// Publisher stores events and dead letters.
type Publisher interface {
	// Publish returns the event that is stored, which an earlier delivery may have published.
	// again says that one may have.
	Publish(ctx context.Context, m task.Message, ev task.Event, again bool) (stored task.Event, seq uint64, err error)
	PublishAside(ctx context.Context, m task.Message, ev task.Event, again bool) error
	Replay(ctx context.Context, m task.Message, taskID string, seq uint64) error
	Bury(ctx context.Context, m task.Message, data []byte, reason string) error
}

// Config is what the pipeline has to know of its worker.
type Config struct {
	Worker   string        // its name: the owner on records, the worker on events
	Defaults task.Defaults // of requests
	// OwnerGrace is how long a task that was found in the middle of its submission is watched before the
	// submission is given up for unknown: its owner may live, and be about to record the answer.
	OwnerGrace time.Duration
	Tracer     trace.Tracer // makes the spans of tasks; nil: there are none
}

// Pipeline runs tasks. It holds no state of any, but for a gauge when those that wait were stored.
type Pipeline struct {
	requests  Requests
	gate      Admission
	api       Submitter
	tracker   Tracker
	poller    Poller
	publisher Publisher

	cfg     Config
	log     zerolog.Logger
	metrics metrics
	line    *line
}

// New returns a pipeline through these parts, in the order a task meets them.
func New(cfg Config, q Requests, g Admission, api Submitter, t Tracker, w Poller, p Publisher,
	reg prometheus.Registerer, log zerolog.Logger,
) *Pipeline {
	line := newLine()
	return &Pipeline{
		requests: q, gate: g, api: api, tracker: t, poller: w, publisher: p,
		cfg: cfg, log: log, metrics: newMetrics(reg, line.oldest), line: line,
	}
}

// Handle takes one request from its delivery to its end, and then calls settle, once, with what is to become of
// it: nil when the request is done with: everything final is an event, failures included. An error means that the
// request must come back; task.ErrNotOwner, that somebody else has it.
//
// Handle returns when the workflow runs: while it is waited for there is no goroutine.
func (p *Pipeline) Handle(ctx context.Context, m task.Message, settle func(verdict error)) {
	var r *run
	err := contain.Do(func() (err error) {
		r, ctx, err = p.start(ctx, m)
		return err
	})
	switch {
	case errors.Is(err, errSettled):
		settle(nil)
	case err != nil:
		settle(err)
	case r.verdict != nil: // no workflow runs
		settle(r.finish(ctx, nil))
	default:
		next := func(err error) { settle(r.finish(ctx, err)) }
		if err := contain.Do(func() error { r.poll(ctx, next); return nil }); err != nil {
			next(err) // it has not been called: it does not panic
		}
	}
}

// start takes a request to where its workflow runs, or to its verdict, and returns the context of its trace.
func (p *Pipeline) start(ctx context.Context, m task.Message) (*run, context.Context, error) {
	req, err := task.ParseRequest(m, p.cfg.Defaults)
	if err != nil {
		return nil, ctx, cmp.Or(p.refuse(ctx, m, err), errSettled)
	}
	r := p.newRun(req)
	started := false
	defer func() {
		if !started { // also after a panic
			r.end()
		}
	}()
	ctx = r.beginTrace(ctx)
	if err := r.claim(ctx); err != nil {
		return nil, ctx, err
	}
	if err := r.submit(ctx); err != nil {
		return nil, ctx, err
	}
	started = true
	return r, ctx, nil
}

// errSettled: the request needs nothing more than its acknowledgement.
var errSettled = errors.New("the request is settled")

// Started reports whether the request's task has begun: whether it has a record.
func (p *Pipeline) Started(ctx context.Context, m task.Message) (bool, error) {
	req, err := task.ParseRequest(m, p.cfg.Defaults)
	if err == nil {
		_, err = p.tracker.Get(ctx, req.TaskID)
	}
	_, invalid := errors.AsType[*task.InvalidError](err)
	if invalid || errors.Is(err, task.ErrNoRecord) {
		return false, nil
	}
	return err == nil, err
}

// run is one delivery's way through the steps.
type run struct {
	*Pipeline
	req     *task.Request
	rec     task.Record   // as last written by this run
	leave   func(error)   // of the gate, while this run holds a place in it
	verdict *task.Verdict // how the task ended, once that is known
	ending  task.Ending   // of the wait for its workflow

	span trace.Span // of the task; nil without a Tracer

	step           step      // where it is, for the metrics
	since          time.Time // when it came there
	forbidden      int       // 403s this run has met
	acceptedBefore uint64    // submissions the worker had accepted at the first of them
}

func (p *Pipeline) newRun(req *task.Request) *run {
	r := &run{Pipeline: p, req: req}
	r.enterStep(stepClaim)
	return r
}

// finish publishes the verdict on what was waited for, unless the wait ended with an error, and ends the run.
func (r *run) finish(ctx context.Context, err error) error {
	return contain.Do(func() error {
		defer r.end()
		if err != nil {
			return err
		}
		if r.verdict == nil {
			r.judge()
		}
		return r.spanned(ctx, "publish", trace.SpanKindProducer, r.publish)
	})
}

// end gives back what the run still has when it is over, however it ended.
func (r *run) end() {
	r.giveUpPlace()
	r.enterStep(stepNone)
	r.endTrace()
}

// fail ends the task with an error. Whatever became of the one repetition of a submission, nobody knows of
// the first.
func (r *run) fail(code task.Code, message string) {
	if r.rec.UnknownOnce() && code != task.SubmissionUnknown {
		code, message = task.SubmissionUnknown, "the API may or may not have accepted it the first time, and then: "+message
	}
	r.verdict = &task.Verdict{Error: task.NewError(code, message)}
}
