// Package tracing sends the spans of tasks to a collector by OTLP over HTTP. OpenTelemetry's standard variables OTEL_*
// switch it on and configure it. Without them the package does nothing.
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

	"github.com/capstan-worker/capstan/internal/settings"
	"github.com/capstan-worker/capstan/internal/task"
)

// flushTimeout is the maximum time for sending the last spans when the worker stops.
const flushTimeout = 2 * time.Second

// Validate returns a line for each OTEL_* variable that cannot be used. It does not show headers and endpoints, which
// may hold a password or a token.
func Validate() []string {
	if disabled() {
		return nil
	}
	var mistakes settings.Mistakes
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	mistakes.Require("OTEL_TRACES_EXPORTER", exporter, exporter == "" || exporter == "otlp" || exporter == "none", "otlp or none")
	if !IsOn() {
		return mistakes
	}
	name := "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_PROTOCOL"
	}
	protocol := os.Getenv(name)
	mistakes.Require(name, protocol, protocol == "" || protocol == "http/protobuf", "http/protobuf, to the collector's port 4318")
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		headers, endpoint := os.Getenv(prefix+"HEADERS"), os.Getenv(prefix+"ENDPOINT")
		mistakes.Require(prefix+"HEADERS", task.Secret(headers), areHeaders(headers), `name=value, or several of these separated by commas, such as "authorization=Bearer%20TOKEN"`)
		mistakes.Require(prefix+"ENDPOINT", task.Secret(endpoint), isEndpoint(strings.TrimSpace(endpoint)), `a URL, such as "http://collector:4318"`)
	}
	return mistakes
}

// areHeaders reports whether the exporter can read these headers: pairs of a name and a percent-encoded
// value. The exporter would print those that it cannot read, with their secrets.
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

// headerName is the form of a header's name (RFC 9110, section 5.6.2).
const headerName = "^[0-9A-Za-z!#$%&'*+.^_`|~-]+$"

// isEndpoint reports whether the exporter can read this endpoint, or it is empty. The exporter would print
// one that it cannot read, with its password.
func isEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return endpoint == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// IsOn reports whether the environment asks for traces: OTEL_TRACES_EXPORTER is otlp, or it is not set and there is an
// endpoint.
func IsOn() bool {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	return !disabled() && (exporter == "otlp" || exporter == "" && endpoint != "")
}

// disabled reports whether the variable that switches off all of OpenTelemetry is true, in any case of
// letters, as its specification says.
func disabled() bool { return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") }

// Start returns the tracer of a worker, and stop, which sends the last spans within two seconds. If the environment asks
// for no traces, the tracer is nil. If the collector is down, spans are lost and never tasks; the log says so at most
// once a minute.
func Start(ctx context.Context, worker, version string, log zerolog.Logger) (tracer trace.Tracer, stop func(), err error) {
	if !IsOn() {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("create the exporter of traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "capstan"), attribute.String("service.version", version),
		attribute.String("service.instance.id", worker),
	), resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The exporter retries by itself, and reports one error for each batch that it gives up.
	quiet := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { quiet.Warn().Err(err).Msg("spans lost") }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	// ctx has usually ended by now, and the last spans must be sent nevertheless.
	stop = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			quiet.Warn().Err(err).Msg("spans lost")
		}
	}
	return provider.Tracer("github.com/capstan-worker/capstan"), stop, nil
}
