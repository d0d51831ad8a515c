package anchortest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is what goes wrong with a call. One that has only delays ends in the documented answer; every
// other takes its place.
type Fault struct {
	Times int `json:"times,omitempty"` // for how many calls in a list: 0 and 1 mean one, -1 all from here on

	Status int               `json:"status,omitempty"` // of the answer; 0 means 200 where Body or Size is set
	Header map[string]string `json:"header,omitempty"` // of the answer
	Body   string            `json:"body,omitempty"`   // of the answer, as it is; default: an error as documented
	Size   int               `json:"size,omitempty"`   // of the answer's body in bytes, instead of Body: a valid status answer
	Cut    bool              `json:"cut,omitempty"`    // the connection is reset in the middle of the answer

	Reset bool `json:"reset,omitempty"` // the connection is reset instead of an answer
	Hang  bool `json:"hang,omitempty"`  // nothing is answered until the client goes away

	Accepted bool          `json:"accepted,omitempty"` // of a POST: it failed, and the workflow was started
	Before   time.Duration `json:"-"`                  // delay before a POST is accepted, also if the client is gone by then
	After    time.Duration `json:"-"`                  // delay before the answer
}

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

// ButAccepted is the fault of a POST that started its workflow all the same.
func (f Fault) ButAccepted() Fault {
	f.Accepted = true
	return f
}

// Repeated is the fault for so many calls; -1: for all.
func (f Fault) Repeated(times int) Fault {
	f.Times = times
	return f
}

// replaces reports whether the fault takes the place of the documented answer.
func (f Fault) replaces() bool {
	return f.Status != 0 || f.Body != "" || f.Size > 0 || f.Reset || f.Hang
}

// accepts reports whether a POST that meets the fault can start its workflow.
func (f Fault) accepts() bool { return f.Accepted || !f.replaces() }

// doubtful reports whether a client cannot know after this fault if its POST was accepted.
func (f Fault) doubtful() bool {
	switch {
	case !f.replaces():
		return f.Cut
	case f.Reset, f.Hang, f.Status < 300:
		return true
	case f.Status == http.StatusServiceUnavailable:
		return !f.has("Retry-After")
	default:
		return f.Status >= 500
	}
}

func (f Fault) has(header string) bool {
	for name := range f.Header {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

type (
	plainFault Fault
	faultJSON  struct {
		*plainFault
		Before duration `json:"before,omitempty"`
		After  duration `json:"after,omitempty"`
	}
)

// MarshalJSON writes the delays as texts.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{plainFault: (*plainFault)(&f), Before: duration(f.Before), After: duration(f.After)})
}

// UnmarshalJSON reads what MarshalJSON writes. An unknown field is an error.
func (f *Fault) UnmarshalJSON(data []byte) error {
	aux := faultJSON{plainFault: (*plainFault)(f)}
	if err := strict(data, &aux); err != nil {
		return err
	}
	f.Before, f.After = time.Duration(aux.Before), time.Duration(aux.After)
	return nil
}
