package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// The paths that Probe asks for. A worker answers both at ADMIN_ADDR.
const (
	Livez  = "/livez"
	Readyz = "/readyz"
)

// mostProbed bounds the part of an answer that is read, in bytes: something else may listen at the address.
const mostProbed = 64 << 10

// Probe asks the process that listens at addr, which is host:port or :port, for one of the paths above. ok is whether it
// says that it is alive or ready, and answer is what it says, a line for each thing that it needs. The answer may contain
// texts of NATS and of the API, so print it with care.
//
// The error means that nothing answers until ctx ends, or that the answer is not one of a worker. Probe follows no redirect
// and uses no proxy: it is about this address.
func Probe(ctx context.Context, addr, path string) (ok bool, answer string, err error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		// An address without a host is this machine to the dialer, and a mistake in a URL.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, addr)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker"+path, http.NoBody)
	if err != nil {
		return false, "", fmt.Errorf("ask %s for %s: %w", addr, path, err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, "", unanswered(ctx, addr, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostProbed))
	if err != nil {
		return false, "", unanswered(ctx, addr, path, err)
	}
	isText := strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain")
	isUnready := path == Readyz && response.StatusCode == http.StatusServiceUnavailable
	if !isText || response.StatusCode != http.StatusOK && !isUnready {
		return false, "", fmt.Errorf("ask %s for %s: got %d with %q, which is not the answer of a worker",
			addr, path, response.StatusCode, response.Header.Get("Content-Type"))
	}
	return !isUnready, string(body), nil
}

// unanswered describes a call that failed. It distinguishes a process that hangs from one that is not there.
func unanswered(ctx context.Context, addr, path string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("ask %s for %s: no answer in time", addr, path)
	}
	return fmt.Errorf("ask %s for %s: %w", addr, path, err)
}
