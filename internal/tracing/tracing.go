// Package tracing sends the spans of tasks to a collector by OTLP over HTTP. The standard variables OTEL_*
// of OpenTelemetry switch it on and set it up; without them nothing is made and nothing runs.
package tracing

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// flushTimeout bounds how long the last spans may take to leave when the worker ends.
const flushTimeout = 2 * time.Second

// Validate returns a line for each OTEL_* variable that cannot be used.
func Validate() []string {
	if disabled() {
		return nil
	}
	var mistakes []string
	if e := os.Getenv("OTEL_TRACES_EXPORTER"); e != "" && e != "otlp" && e != "none" {
		mistakes = append(mistakes, fmt.Sprintf("OTEL_TRACES_EXPORTER is %.100q: otlp or none", e))
	}
	name := "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_PROTOCOL"
	}
	if p := os.Getenv(name); IsOn() && p != "" && p != "http/protobuf" {
		mistakes = append(mistakes, fmt.Sprintf("%s is %.100q: http/protobuf, to the collector's port 4318", name, p))
	}
	if !IsOn() {
		return mistakes
	}
	for _, which := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		if !areHeaders(os.Getenv(which + "HEADERS")) {
			mistakes = append(mistakes, which+`HEADERS is [redacted]: name=value, with commas between them, such as "authorization=Bearer%20TOKEN"`)
		}
		if !isEndpoint(strings.TrimSpace(os.Getenv(which + "ENDPOINT"))) {
			mistakes = append(mistakes, which+`ENDPOINT is [redacted]: a URL, such as "http://collector:4318"`)
		}
	}
	return mistakes
}

// areHeaders reports whether the exporter can read these headers. What it cannot read it prints, and that may
// be a token.
func areHeaders(list string) bool {
	for pair := range strings.SplitSeq(list, ",") {
		name, value, found := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		isName, _ := regexp.MatchString(headerName, strings.TrimSpace(name))
		if strings.TrimSpace(pair) != "" && (!found || !isName || err != nil) {
			return false
		}
	}
	return true
}

// headerName is what a token of HTTP looks like (RFC 9110, section 5.6.2).
const headerName = "^[0-9A-Za-z!#$%&'*+.^_`|~-]+$"

// isEndpoint is true of an absent one. One that the exporter cannot read it prints, and that may hold a password.
func isEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return endpoint == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// IsOn reports whether the environment asks for traces: by OTEL_TRACES_EXPORTER=otlp, or by an endpoint
// where that is not set.
func IsOn() bool {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	return !disabled() && (exporter == "otlp" || exporter == "" && endpoint != "")
}

func disabled() bool { return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") }

// Start returns what makes the spans of a worker, and stop, which sends the last ones within two seconds.
// The tracer is nil where the environment asks for no traces. A collector that is away costs spans, and
// never a task; the log says so once a minute.
func Start(ctx context.Context, worker, version string, log zerolog.Logger) (tracer trace.Tracer, stop func(), err error) {
	if !IsOn() {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "capstan"), attribute.String("service.version", version),
		attribute.String("service.instance.id", worker),
	), resource.WithFromEnv()) // which wins
	if err != nil {
		return nil, nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	quiet := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { quiet.Warn().Err(err).Msg("spans were lost") }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	stop = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			quiet.Warn().Err(err).Msg("spans were lost")
		}
	}
	return provider.Tracer("github.com/capstan-worker/capstan"), stop, nil
}
