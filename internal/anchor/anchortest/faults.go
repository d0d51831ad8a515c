package anchortest

import (
	"net/http"
	"strconv"
)

// Answer is a call that is answered with an HTTP status and an error of the documented shape.
func Answer(status int) Fault { return Fault{Status: status} }

// RateLimited is 429 with the headers of an exhausted limit that is reset after so many seconds.
func RateLimited(seconds int) Fault {
	return Fault{Status: http.StatusTooManyRequests, Header: exhausted(5, seconds)}
}

// Unavailable is 503 with Retry-After in seconds.
func Unavailable(seconds int) Fault {
	return Fault{Status: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": strconv.Itoa(seconds)}}
}

// HTML is a page of a gateway in front of the API.
func HTML(status int) Fault {
	return Fault{
		Status: status, Header: map[string]string{"Content-Type": "text/html"},
		Body: "<html><head><title>" + http.StatusText(status) + "</title></head><body><h1>Gateway</h1></body></html>",
	}
}

// Redirect is 307 to another place.
func Redirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": location}}
}

// State is a poll that is answered with a state that no plan has.
func State(state string) Fault {
	return Fault{Body: `{"data":{"status":` + strconv.Quote(state) + `}}`}
}

// NoID is a POST that is answered as if accepted, without a workflow id.
func NoID() Fault { return Fault{Body: `{"data":{"status":"running"}}`} }

// Garbage is 200 with a body that is not JSON.
func Garbage() Fault { return Fault{Body: "\x00\xff{not JSON"} }

// Reset is a connection that is reset instead of an answer.
func Reset() Fault { return Fault{Reset: true} }

// Hang is a call that is never answered.
func Hang() Fault { return Fault{Hang: true} }

// RetryAfter is an answer of that status, such as 429 or 503, with a Retry-After header of any value: also one
// that RFC 9110, section 10.2.3, does not allow.
func RetryAfter(status int, value string) Fault {
	return Fault{Status: status, Header: map[string]string{"Retry-After": value}}
}

// Text is a gateway's answer in plain text: not in the form of the API's own errors.
func Text(status int, text string) Fault {
	return Fault{Status: status, Header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: text}
}

// NoBackend is what an ingress answers that knows no backend for a path.
func NoBackend() Fault { return Text(http.StatusNotFound, "default backend - 404") }

// NotYet is an answer of an API that does not know yet what it accepted, in the form of its own errors.
func NotYet() Fault { return refusal(http.StatusNotFound, "workflow not found") }

// Large is a poll that is answered as completed, with an answer of that many bytes. It is written in pieces, so
// that a stand-in can send many at once.
func Large(size int) Fault { return Fault{Size: size} }

// Switching is an answer that switches to another protocol: the connection stays open, and nothing follows.
func Switching() Fault { return Fault{Status: http.StatusSwitchingProtocols} }

// BOM is the documented answer behind a byte order mark.
func BOM() Fault { return Fault{Prefix: "\ufeff"} }
