package task

import "strings"

// The headers that carry a request's trace: W3C Trace Context, sections 3.2 and 3.3.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

const (
	// In bytes. Version 00 has 55, and later ones may have more.
	maxTraceParent = 128
	// In bytes: what every system must at least pass on.
	maxTraceState = 512
)

// traceOf returns the headers that carry the request's trace. As the standard requires, a traceparent that is not well
// formed counts as missing, and so does a tracestate without traceparent.
func traceOf(d Delivery) map[string][]string {
	parent := d.HeaderValue(traceParent)
	if !isTraceParent(parent) {
		return nil
	}
	header := map[string][]string{traceParent: {parent}}
	if state := d.HeaderValue(traceState); state != "" && len(state) <= maxTraceState && isPrintable(state) {
		header[traceState] = []string{state}
	}
	return header
}

// isTraceParent reports whether a header is version, trace id, parent id and flags, in lowercase hex digits. More may
// follow in a version later than 00.
func isTraceParent(header string) bool {
	const known = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if len(header) < known || len(header) > maxTraceParent || !isPrintable(header) {
		return false
	}
	head, more := header[:known], header[known:]
	if more != "" && (more[0] != '-' || strings.HasPrefix(head, "00")) {
		return false
	}
	parts := strings.Split(head, "-")
	if len(parts) != 4 || parts[0] == "ff" {
		return false
	}
	for i, size := range []int{2, 32, 16, 2} {
		// An id of zeros is invalid, but a version or flags of zeros are not.
		isID := size > 2
		if len(parts[i]) != size || strings.Trim(parts[i], "0123456789abcdef") != "" || isID && strings.Trim(parts[i], "0") == "" {
			return false
		}
	}
	return true
}

// isPrintable reports whether a header is printable ASCII.
func isPrintable(header string) bool {
	return !strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' })
}
