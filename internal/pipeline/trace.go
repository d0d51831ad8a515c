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

// headers carry a request's trace (W3C Trace Context).
type headers map[string][]string

// Get returns the first value of a header, whatever the case of its name.
func (h headers) Get(name string) string { return task.Delivery{Header: h}.HeaderValue(name) }

// Set sets a header.
func (h headers) Set(name, value string) { h[name] = []string{value} }

// Keys is part of propagation.TextMapCarrier. The propagator does not call it.
func (headers) Keys() []string { return nil }

// beginTrace begins the span of the task on this worker, as a child of the request's. A request without a trace gets
// this one, so that its event carries it.
func (r *run) beginTrace(ctx context.Context) context.Context {
	if r.cfg.Tracer == nil {
		return ctx
	}
	d := &r.req.Delivery
	w3c := propagation.TraceContext{}
	ctx = w3c.Extract(ctx, headers(d.Header))
	orphan := !trace.SpanContextFromContext(ctx).IsValid()
	ctx, r.span = r.cfg.Tracer.Start(ctx, "process "+d.Stream, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", d.Stream), attribute.String("capstan.task.id", r.req.TaskID),
	))
	if orphan {
		own := headers(maps.Clone(d.Header))
		if own == nil {
			own = headers{}
		}
		w3c.Inject(ctx, own)
		d.Header = own
	}
	return ctx
}

// traceRecord adds the workflow and the task's state to the task's span.
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

// beginSpan begins a span under the task's, if there is a Tracer. The caller ends it with the error of what it did. The
// span has not failed if ctx ended, or if another worker has the task.
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

// callAPI posts the task into a session, or without one, in a span.
func (r *run) callAPI(ctx context.Context, sessionID string, body []byte) (workflowID string, err error) {
	ctx, end := r.beginSpan(ctx, "submit", trace.SpanKindClient)
	defer func() { end(err) }()
	workflowID, err = r.API.Submit(ctx, sessionID, body)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("http.request.method", http.MethodPost), attribute.String("capstan.workflow.id", workflowID))
		if refusal, ok := errors.AsType[*task.SubmitError](err); ok && refusal.HTTPStatus > 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", refusal.HTTPStatus))
		}
	}
	return workflowID, err
}

// traceWait adds the workflow and its number of status calls to the span of ctx.
func traceWait(ctx context.Context, workflowID string, polls int) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.Int("capstan.polls", polls), attribute.String("capstan.workflow.id", workflowID))
}

// errorType returns the error as a value of a closed set: its text may quote the request.
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

// failSpan marks a span as failed (OpenTelemetry's error.type).
func failSpan(span trace.Span, errorType string) {
	span.SetAttributes(attribute.String("error.type", errorType))
	span.SetStatus(codes.Error, errorType)
}
