package pipeline

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// headers is where a request carries its trace (W3C Trace Context).
type headers map[string][]string

// Get returns the first value of a header, whatever the case of its name.
func (h headers) Get(name string) string { return task.Delivery{Header: h}.HeaderValue(name) }

// Set sets a header.
func (h headers) Set(name, value string) { h[name] = []string{value} }

// Keys is asked for by nobody: the names are fixed.
func (headers) Keys() []string { return nil }

// beginTrace begins the span of the task as this worker handles it, as a child of the request's. A request
// without a trace gets this one, so that its event carries it.
func (r *run) beginTrace(ctx context.Context) context.Context {
	if r.cfg.Tracer == nil {
		return ctx
	}
	m := &r.req.Delivery
	w3c := propagation.TraceContext{}
	ctx = w3c.Extract(ctx, headers(m.Header))
	orphan := !trace.SpanContextFromContext(ctx).IsValid()
	ctx, r.span = r.cfg.Tracer.Start(ctx, "process "+m.Stream, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", m.Stream), attribute.String("capstan.task.id", r.req.TaskID),
	))
	if orphan {
		own := headers(maps.Clone(m.Header))
		if own == nil {
			own = headers{}
		}
		w3c.Inject(ctx, own)
		m.Header = own
	}
	return ctx
}

// traceRecord adds to the task's span how far its record has come.
func (r *run) traceRecord(rec *task.Record) {
	if r.span == nil {
		return
	}
	r.span.SetAttributes(attribute.String("capstan.workflow.id", rec.WorkflowID), attribute.String("capstan.task.state", string(rec.State)))
	if rec.State == task.Failed {
		failSpan(r.span, string(rec.ErrorCode))
	}
}

// endTrace ends the task's span.
func (r *run) endTrace() {
	if r.span != nil {
		r.span.End()
	}
}

// spanned runs do in a span of its own, under the task's.
func (r *run) spanned(ctx context.Context, name string, kind trace.SpanKind, do func(context.Context) error) (err error) {
	ctx, end := r.beginSpan(ctx, name, kind)
	defer func() { end(err) }()
	return do(ctx)
}

// beginSpan begins a span under the task's, if there is a Tracer. An error of ctx, or that another worker has the task,
// is no error of the span.
func (r *run) beginSpan(ctx context.Context, name string, kind trace.SpanKind) (_ context.Context, end func(error)) {
	if r.cfg.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := r.cfg.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, func(err error) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, task.ErrNotOwner) {
			failSpan(span, errorType(err))
		}
		span.End()
	}
}

// callAPI posts the task, in a span.
func (r *run) callAPI(ctx context.Context) (workflowID string, err error) {
	err = r.spanned(ctx, "submit", trace.SpanKindClient, func(ctx context.Context) (err error) {
		workflowID, err = r.API.Submit(ctx, r.req.SessionID, r.req.Body)
		if span := trace.SpanFromContext(ctx); span.IsRecording() {
			span.SetAttributes(attribute.String("http.request.method", http.MethodPost), attribute.String("capstan.workflow.id", workflowID))
			if refusal, ok := errors.AsType[*task.SubmitError](err); ok && refusal.HTTPStatus > 0 {
				span.SetAttributes(attribute.Int("http.response.status_code", refusal.HTTPStatus))
			}
		}
		return err
	})
	return workflowID, err
}

// traceWait adds to the span of ctx which workflow was waited for, and with how many status calls.
func traceWait(ctx context.Context, workflowID string, polls int) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.Int("capstan.polls", polls), attribute.String("capstan.workflow.id", workflowID))
}

// errorType is from a closed set: the text of an error may quote the request.
func errorType(err error) string {
	refusal, ok := errors.AsType[*task.SubmitError](err)
	switch {
	case !ok:
		return "_OTHER"
	case refusal.HTTPStatus > 0:
		return strconv.Itoa(refusal.HTTPStatus)
	case refusal.Reason != "":
		return string(refusal.Reason)
	default:
		return string(task.SubmissionUnknown)
	}
}

func failSpan(span trace.Span, errorType string) {
	span.SetAttributes(attribute.String("error.type", errorType))
	span.SetStatus(codes.Error, errorType)
}
