package anchortest

import (
	"fmt"
	"net/http"
	"strconv"
)

// Answer is an error of the documented form with an HTTP status. Its message is the meaning of the status.
func Answer(status int) Fault { return Fault{Status: status} }

// RateLimited is 429 with the header of the plan's limit of five sessions a minute, which is reset after that many seconds:
// Retry-After (RFC 9110) and the fields of draft-ietf-httpapi-ratelimit-headers-08.
func RateLimited(seconds int) Fault {
	return Fault{Status: http.StatusTooManyRequests, Header: map[string]string{
		"Retry-After":      strconv.Itoa(seconds),
		"RateLimit":        fmt.Sprintf(`"5-in-1min"; r=0; t=%d`, seconds),
		"RateLimit-Policy": `"5-in-1min"; q=5; w=60`,
	}}
}

// Unavailable is 503 with Retry-After in seconds.
func Unavailable(seconds int) Fault {
	return RetryAfter(http.StatusServiceUnavailable, strconv.Itoa(seconds))
}

// RetryAfter is an error with a status, such as 429 or 503, and any value of Retry-After, even one that RFC 9110, section
// 10.2.3, does not allow.
func RetryAfter(status int, value string) Fault {
	return Fault{Status: status, Header: map[string]string{"Retry-After": value}}
}

// HTML is a page of a gateway in front of the API, with any status. A client must not take it for the API's
// own answer.
func HTML(status int) Fault {
	return Fault{
		Status: status, Header: map[string]string{"Content-Type": "text/html"},
		Body: "<html><head><title>" + http.StatusText(status) + "</title></head><body><h1>Gateway</h1></body></html>",
	}
}

// Text is a gateway's answer in plain text.
func Text(status int, text string) Fault {
	return Fault{Status: status, Header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: text}
}

// NoBackend is the answer of a Kubernetes ingress that has no backend for a path.
func NoBackend() Fault { return Text(http.StatusNotFound, "default backend - 404") }

// Redirect is 307 to another address. A client that follows it would send the key and the task to that
// address.
func Redirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": location}}
}

// State is an answer to a poll with any state of the workflow.
func State(state string) Fault {
	return Fault{Body: `{"data":{"status":` + strconv.Quote(state) + `}}`}
}

// NotYet is the answer to a poll of an API that does not know yet what it accepted, in the form of its own errors.
func NotYet() Fault { return refusal(http.StatusNotFound, "workflow not found") }

// Large is an answer to a poll for a completed workflow, with that many bytes. It takes little memory to send.
func Large(size int) Fault { return Fault{Size: size} }

// NoID is a success without a workflow id. As a fault it starts no workflow; with ButAccepted it does.
func NoID() Fault { return Fault{Body: `{"data":{"status":"running"}}`} }

// Garbage is 200 with a body that is neither JSON nor UTF-8.
func Garbage() Fault { return Fault{Body: "\x00\xff{not JSON"} }

// BOM is the documented answer after a byte order mark, which a JSON parser may ignore (RFC 8259, section
// 8.1).
func BOM() Fault { return Fault{Prefix: "\ufeff"} }

// Reset resets the connection instead of an answer.
func Reset() Fault { return Fault{Reset: true} }

// Hang never answers. The connection ends when the client closes it, for example because its time is up, or
// when the server closes.
func Hang() Fault { return Fault{Hang: true} }

// Switching is 101 Switching Protocols: the connection stays open, and nothing follows.
func Switching() Fault { return Fault{Status: http.StatusSwitchingProtocols} }
