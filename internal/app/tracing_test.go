package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// otlp is a collector of traces.
type otlp struct {
	*httptest.Server
	mu    sync.Mutex
	calls int
	spans []*spans.Span
}

func startOTLP(t *testing.T) *otlp {
	t.Helper()
	c := &otlp{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls++
		var sent collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, of := range sent.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// settings make a worker send its spans there soon.
func (c *otlp) settings() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
}

// await waits until there is a span of a name, and returns all spans.
func (c *otlp) await(t *testing.T, name string) []*spans.Span {
	t.Helper()
	var all []*spans.Span
	natstest.Eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		all = slices.Clone(c.spans)
		if got := len(named(all, name)); got == 0 {
			return fmt.Errorf("got no span %q, want one", name)
		}
		return nil
	})
	return all
}

func named(all []*spans.Span, name string) []*spans.Span {
	return slices.DeleteFunc(slices.Clone(all), func(s *spans.Span) bool { return s.Name != name })
}

func attribute(s *spans.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	parentID    = "b7ad6b7169203331"
	traceParent = "00-" + traceID + "-" + parentID + "-01"
)

func (w *world) submitTraced(id string, plan anchortest.Plan) {
	w.t.Helper()
	w.publish(fmt.Sprintf(`{"task_id":%q,"url":"https://example.com","prompt":%q}`, id, w.prompt(id, plan)), "traceparent", traceParent)
}

func TestATraceGoesFromTheRequestToTheEvent(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	w.startReady("w1", c.settings()...)
	w.submitTraced("a", done)
	if got := w.waitEvents(1)[0].header.Get("traceparent"); got != traceParent {
		t.Errorf("got traceparent %q on the event, want the request's", got)
	}
	all := c.await(t, "process TASKS")
	root := named(all, "process TASKS")[0]
	if got := fmt.Sprintf("%x", root.ParentSpanId); got != parentID {
		t.Errorf("got parent %s of the task's span, want %s", got, parentID)
	}
	for _, name := range []string{"submit", "wait", "publish"} {
		children := named(all, name)
		if len(children) != 1 || !slices.Equal(children[0].ParentSpanId, root.SpanId) {
			t.Errorf("got spans %q %v, want one child of the task's", name, children)
		}
	}
	for _, s := range all {
		if got := fmt.Sprintf("%x", s.TraceId); got != traceID || s.Status.GetCode() == spans.Status_STATUS_CODE_ERROR {
			t.Errorf("got span %s of trace %s with %v, want %s and no error", s.Name, got, s.Status, traceID)
		}
	}
}

func TestAFailedTaskIsAFailedSpan(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	w.startReady("w1", append(c.settings(), "ACK_WAIT=1m")...) // a redelivery would have a span of its own
	w.submitTraced("a", anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(400)}})
	w.waitEvents(1)
	all := c.await(t, "process TASKS")
	for name, want := range map[string]string{"process TASKS": string(task.Rejected), "submit": "400"} {
		got := named(all, name)[0]
		if got.Status.GetCode() != spans.Status_STATUS_CODE_ERROR || attribute(got, "error.type") != want {
			t.Errorf("got span %s with %v and error.type %q, want an error of %s", name, got.Status, attribute(got, "error.type"), want)
		}
	}
}

func TestATraceContinuesAtAnotherWorker(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	first := w.startReady("w1", c.settings()...)
	w.submitTraced("a", blocked)
	w.waitState("a", task.Running)
	c.await(t, "submit")
	first.kill()
	w.startReady("w2", c.settings()...)
	w.waitTakenOver("a")
	w.release("a")
	w.waitEvents(1)
	for _, s := range c.await(t, "process TASKS") {
		if got := fmt.Sprintf("%x", s.TraceId); got != traceID {
			t.Errorf("got span %s of trace %s, want %s", s.Name, got, traceID)
		}
	}
}

// The event of a request without a trace carries the task's, so that its subscribers can go on with it.
func TestATaskWithoutATraceGetsOne(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	w.startReady("w1", c.settings()...)
	w.submit("a", done)
	got := w.waitEvents(1)[0].header.Get("traceparent")
	root := named(c.await(t, "process TASKS"), "process TASKS")[0]
	if want := fmt.Sprintf("00-%x-%x-01", root.TraceId, root.SpanId); got != want {
		t.Errorf("got traceparent %q on the event, want %q", got, want)
	}
}

func TestACollectorThatIsDownDisturbsNoTask(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	c.Close()
	p := w.startReady("w1", c.settings()...)
	w.submit("a", done)
	w.waitEvents(1)
	p.drain()
}

func TestTracesAreOffByDefault(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), startOTLP(t)
	p := w.startReady("w1", append(c.settings(), "OTEL_SDK_DISABLED=true")...)
	w.submit("a", done)
	if got := w.waitEvents(1)[0].header.Get("traceparent"); got != "" {
		t.Errorf("got traceparent %q, want none", got)
	}
	p.drain()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls != 0 {
		t.Errorf("got %d calls, want none", c.calls)
	}
}

func TestAWrongSettingOfTracesStopsTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start("w1", "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	if err := <-p.exited; err == nil {
		t.Error("got exit 0, want a mistake")
	}
	if err := p.logged(`OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, to the collector's port 4318 (got "grpc")`); err != nil {
		t.Error(err)
	}
}
