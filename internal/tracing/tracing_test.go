package tracing_test

import (
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

// goleak sees goroutines that were left.
func TestTracesThatAreOffMakeNothing(t *testing.T) {
	set(t, nil)
	tracer, stop, err := tracing.Start(t.Context(), "w1", "test", zerolog.Nop())
	if tracer != nil || err != nil {
		t.Errorf("got tracer %v and error %v, want neither", tracer, err)
	}
	stop()
}
