// Package pipeline is the program's straight line: request → submit → track → poll → publish. Read Handle first; each
// other file of the package is a part of it.
//
// A request stays unacknowledged until its event is stored, and the record says how far its task has got. Nothing else
// needs to survive a crash. docs/design.md lists what happens when a worker dies at each step.
package pipeline

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests is the stream that requests are pulled from.
type Requests interface {
	// StoredAt returns when the stream stored the request with this sequence, or task.ErrNoRequest.
	StoredAt(ctx context.Context, seq uint64) (time.Time, error)
	// Read returns the request with this sequence as it is stored, or task.ErrNoRequest.
	Read(ctx context.Context, seq uint64) (task.Delivery, error)
	// Created returns when the stream was created, by the server's clock.
	Created(ctx context.Context) time.Time
}

// Admission decides when a submission may leave.
type Admission interface {
	// Acquire waits for a slot: then one submission may leave. The caller calls release once, with the result of
	// Submit or with task.ErrNotSubmitted. While it waits, it calls look every few seconds, unless that is nil, and gives
	// up with its error.
	Acquire(ctx context.Context, sessionID string, look func() error) (release func(error), err error)
	// Accepted counts the submissions that the API accepted from this worker.
	Accepted() uint64
	// BrowserFreed reports that a workflow has ended.
	BrowserFreed()
	// Paused reports whether submissions are paused, why, and until when.
	Paused() (reason task.Reason, until time.Time, paused bool)
	// Waits returns what a task waits for that has no slot, and until when; the zero time if that is not known.
	Waits() (reason task.WaitReason, until time.Time)
}

// Submitter starts workflows.
type Submitter interface {
	// Submit posts a task and returns its workflow's id, or a *task.SubmitError.
	Submit(ctx context.Context, sessionID string, body []byte) (workflowID string, err error)
}

// Tracker stores the records and the counts of deliveries. Its errors are task.ErrRecordExists, task.ErrNotOwner,
// task.ErrRecordLost, task.ErrNoRecord, task.ErrNewerRecord and task.ErrBucketRecreated.
type Tracker interface {
	// Create writes the first record of a task. It returns task.ErrRecordExists if there is one.
	Create(ctx context.Context, rec task.Record) (task.Record, error)
	// Save writes a record over the revision that it carries, and returns it with the new one.
	Save(ctx context.Context, rec task.Record) (task.Record, error)
	// Get returns the record of a task.
	Get(ctx context.Context, taskID string) (task.Record, error)
	// Deliveries returns the stored count of a request's deliveries, or a count of 0.
	Deliveries(ctx context.Context, d task.Delivery) (task.DeliveryCount, error)
	SaveDeliveries(ctx context.Context, count task.DeliveryCount) error
	// Created returns when the bucket was created, by the server's clock, as of an answer no older than maxAge.
	Created(ctx context.Context, maxAge time.Duration) (time.Time, error)
}

// Poller waits for workflows.
type Poller interface {
	// Wait returns when the workflow has ended or is lost, when its time is up, or with the cause of ctx's end. The outcome
	// is never nil: it holds what was learned so far.
	Wait(ctx context.Context, w *task.Watch) (*task.Outcome, error)
}

// Publisher stores events and dead letters.
type Publisher interface {
	// Offload stores the result of an event elsewhere if it is too large for a message, which may take long.
	Offload(ctx context.Context, d task.Delivery, ev task.Event) (task.Event, error)
	// Publish stores the task's event and returns the one that is stored: an earlier delivery may have published
	// another. redelivered reports that an earlier delivery may have published.
	Publish(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) (stored task.Event, seq uint64, err error)
	// PublishPerRequest stores an event under a message id of this request, because the task id is another task's.
	PublishPerRequest(ctx context.Context, d task.Delivery, ev task.Event, redelivered bool) error
	// Find returns the event that answers a request or, if answered is false, the event of another request with its task
	// id, preferably with this digest of the content, and the event's sequence. It returns task.ErrNoEvent if there is none.
	Find(ctx context.Context, d task.Delivery, taskID, digest string) (ev task.Event, seq uint64, answered bool, err error)
	// FindSince returns the event that another worker has stored for this run of the task since a time of the server's
	// clock, and its sequence. It finds none if NATS refuses the search.
	FindSince(ctx context.Context, d task.Delivery, ev task.Event, since time.Time) (stored task.Event, seq uint64, found bool, err error)
	// Replay publishes the stored event with this sequence once more, or returns task.ErrNoEvent.
	Replay(ctx context.Context, d task.Delivery, taskID string, seq uint64) error
	// DeadLetter stores a request whose task has failed, with its headers and the reason.
	DeadLetter(ctx context.Context, d task.Delivery, letter task.DeadLetter) error
}

// Config describes the worker.
type Config struct {
	Worker   string        // its name: the owner on records, the worker on events
	Defaults task.Defaults // of requests

	// PostTimeout bounds a submission, from the record that announces it to the record of its answer. It is longer
	// than the call by more than startWithin.
	PostTimeout time.Duration

	// AckWait is the time after which the request of a worker that has died is redelivered.
	AckWait time.Duration
	// OwnerGrace is the shortest time for which a worker watches a task that it found in the middle of its submission:
	// the owner may be alive, cut off from NATS, and about to record the answer.
	OwnerGrace time.Duration

	// Reconnects counts how often the connection to NATS was made again; nil: never. A server that was restarted may have
	// forgotten a delivery, and give the request to another worker at once.
	Reconnects func() uint64

	// RetryWait is about how long a task waits for its first retry. The waits for further ones grow to 60 times as long.
	RetryWait time.Duration

	Sessions     bool          // create a browser session for each run
	SessionFresh time.Duration // for how long a session that was not used is certain not to have ended by itself
	LiveView     bool          // keep the link to its live view on the record

	KeepFailed bool   // keep the request of every task that failed, not only of those that were refused
	SecretsDir string // the folder of the files that secret_refs name; empty: there is none

	Keys   func() []string   // the API keys of this worker, which no event may show; nil: none
	Clock  *servertime.Clock // of the NATS server
	Tracer trace.Tracer      // creates the spans of tasks; nil: there are none
}

// Parts are what a task passes through, in this order.
type Parts struct {
	Requests  Requests
	Admission Admission
	API       Submitter
	Sessions  Sessions
	Tracker   Tracker
	Poller    Poller
	Publisher Publisher
	Steering  Steering // nil: nobody steers
}

// Pipeline runs tasks. The state of a task is in its record and its run, not here.
type Pipeline struct {
	Parts
	cfg      Config
	log      zerolog.Logger
	metrics  metrics
	runs     *runs
	keysOnly keysOnly
	lost     atomic.Uint64       // how often RecordsLost was called
	letters  *semaphore.Weighted // one for each request that is about to become a dead letter
}

// New returns a pipeline through these parts.
func New(cfg Config, p Parts, reg prometheus.Registerer, log zerolog.Logger) *Pipeline {
	all := &runs{clock: cfg.Clock, all: map[*run]struct{}{}}
	if p.Steering == nil {
		p.Steering = unsteered{}
	}
	return &Pipeline{
		Parts: p, cfg: cfg, log: log, metrics: newMetrics(reg, all.oldest), runs: all, letters: semaphore.NewWeighted(maxLetters),
	}
}

// Handle runs one request from its delivery to its event. It returns nil when the request is done: everything final
// is an event, failures included. An error means that the request must be redelivered; task.ErrNotOwner means that
// another worker has it.
func (p *Pipeline) Handle(ctx context.Context, d *task.Delivery) error {
	r, err := p.receive(ctx, d)
	if r == nil {
		return err
	}
	defer r.end(ctx)
	ctx = r.beginTrace(ctx)

	rec, done, err := r.claim(ctx)
	if done || err != nil {
		return err
	}
	for rec != nil && err == nil {
		rec, err = r.runOnce(ctx, rec)
	}
	return err
}

// runOnce takes the task through one run. It returns the record of the next run, or nil if the task has its event.
func (r *run) runOnce(ctx context.Context, rec *task.Record) (next *task.Record, _ error) {
	rec, verdict, err := r.submit(ctx, rec)
	if err != nil {
		return nil, err
	}
	if verdict != nil { // no workflow runs
		if rec, err = r.endSession(ctx, rec, nil); err != nil {
			return nil, err
		}
		return nil, r.publish(ctx, rec, nil, verdict)
	}
	rec, outcome, err := r.wait(ctx, rec)
	if err != nil {
		return nil, err
	}
	defer outcome.Release()
	return r.conclude(ctx, rec, outcome)
}

// conclude ends the session of a run, and judges how its workflow has ended. It records the next run and returns its record,
// or publishes the task's event.
func (r *run) conclude(ctx context.Context, rec *task.Record, outcome *task.Outcome) (next *task.Record, _ error) {
	rec, err := r.endSession(ctx, rec, outcome)
	if err != nil {
		return nil, err
	}
	verdict, err := r.judge(ctx, outcome)
	if err != nil {
		return nil, err
	}
	retried, err := r.isRetried(ctx, rec, verdict)
	if err != nil {
		return nil, err
	}
	if retried {
		return r.retry(ctx, rec, verdict)
	}
	return nil, r.publish(ctx, rec, outcome, verdict)
}
