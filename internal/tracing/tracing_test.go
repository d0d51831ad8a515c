package tracing_test

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set sets all variables that decide; those that are not named are empty.
func set(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
		"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
	} {
		t.Setenv(name, env[name])
	}
}

func TestWhatSwitchesTracesOn(t *testing.T) {
	const endpoint = "http://127.0.0.1:4318"
	for _, tt := range []struct {
		name     string
		env      map[string]string
		on       bool
		mistakes int
	}{
		{"nothing", nil, false, 0},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, true, 0},
		{"an endpoint of traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}, true, 0},
		{"the exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, 0},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, false, 0},
		{"another exporter", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, 1},
		{"disabled", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, false, 0},
		{"gRPC", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, 1},
		{"gRPC, and HTTP for traces", map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
		}, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set(t, tt.env)
			if on, mistakes := tracing.IsOn(), tracing.Validate(); on != tt.on || len(mistakes) != tt.mistakes {
				t.Errorf("got on %v and mistakes %q, want %v and %d", on, mistakes, tt.on, tt.mistakes)
			}
		})
	}
}

// OpenTelemetry prints the headers that it cannot read.
func TestHeadersThatWouldBePrintedAreRefused(t *testing.T) {
	for _, tt := range []struct {
		headers  string
		mistakes int
	}{
		{"authorization=Bearer%20s3cret,x-scope=a", 0},
		{" x-key = s3cret==, ", 0},
		{"authorization: Bearer s3cret", 1},
		{"authorization: Bearer s3cret=", 1},
		{"s3cret", 1},
		{"x-key=s3cret%", 1},
		{"=s3cret", 1},
	} {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
			set(t, map[string]string{"OTEL_TRACES_EXPORTER": "otlp", name: tt.headers})
			mistakes := tracing.Validate()
			if len(mistakes) != tt.mistakes || strings.Contains(strings.Join(mistakes, ""), "s3cret") {
				t.Errorf("%s=%q: got %q, want %d mistakes and no secret", name, tt.headers, mistakes, tt.mistakes)
			}
		}
	}
}

// It prints the endpoints that it cannot read, too.
func TestEndpointsThatWouldBePrintedAreRefused(t *testing.T) {
	for _, endpoint := range []string{"http://u:s3cret@host:bad", "collector:4318", "http://", "u:s3cret@host"} {
		set(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
		mistakes := tracing.Validate()
		if len(mistakes) != 1 || strings.Contains(mistakes[0], "s3cret") {
			t.Errorf("%q: got %q, want 1 mistake and no secret", endpoint, mistakes)
		}
	}
}

// goleak sees goroutines that were left.
func TestTracesThatAreOffMakeNothing(t *testing.T) {
	set(t, nil)
	tracer, stop, err := tracing.Start(t.Context(), "w1", "test", zerolog.Nop())
	if tracer != nil || err != nil {
		t.Errorf("got tracer %v and error %v, want neither", tracer, err)
	}
	stop()
}
