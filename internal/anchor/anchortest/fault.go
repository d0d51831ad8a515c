package anchortest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Fault is what goes wrong with a call. A fault that only delays the call, or changes bytes around the answer, ends in the
// documented answer; any other replaces it. As JSON, durations are spelled as in Go: "1.5s".
type Fault struct {
	Name string `json:"name,omitempty"` // what a log of calls says of it; see WithCallLog

	Times int `json:"times,omitempty"` // number of calls that it strikes; 0 and 1: one call, -1: all further calls

	// Until is how long it strikes calls, instead of Times; see During.
	Until time.Duration `json:"-"`

	Status  int               `json:"status,omitempty"`  // of the answer; 0: 200 if Body or Size is set
	Header  map[string]string `json:"header,omitempty"`  // of the answer
	Body    string            `json:"body,omitempty"`    // of the answer; empty: an error of the documented form
	Size    int               `json:"size,omitempty"`    // bytes of the body, instead of Body: a valid answer to a status call
	Fill    string            `json:"fill,omitempty"`    // repeated in a result of that Size, as part of a JSON string; default: a
	Chunked bool              `json:"chunked,omitempty"` // send the answer in chunks, without Content-Length
	Cut     bool              `json:"cut,omitempty"`     // reset the connection in the middle of the answer

	Prefix string `json:"prefix,omitempty"` // before the body; the answer may be the documented one
	Suffix string `json:"suffix,omitempty"` // after the body, and part of it
	Behind string `json:"behind,omitempty"` // after the end of the answer, beyond its Content-Length

	Reset bool `json:"reset,omitempty"` // reset the connection instead of an answer
	Hang  bool `json:"hang,omitempty"`  // do not answer before the client closes the connection

	Accepted bool          `json:"accepted,omitempty"` // start the workflow of a POST although it fails
	Before   time.Duration `json:"-"`                  // delay before a POST is accepted, even if the client closes the connection
	After    time.Duration `json:"-"`                  // delay before the answer
}

// ButAccepted returns the same fault of a POST that starts its workflow nevertheless. The client gets the
// same answer as without it.
func (f Fault) ButAccepted() Fault {
	f.Accepted = true
	return f
}

// Repeated returns the same fault for that many calls, or for all further calls if times is -1.
func (f Fault) Repeated(times int) Fault {
	f.Times = times
	return f
}

// During returns the same fault for all calls within d: of POSTs, since the task's first POST, and of polls, since the
// workflow was accepted. In a list it must come before the faults that are counted, which do not count these calls.
func (f Fault) During(d time.Duration) Fault {
	f.Until = d
	return f
}

// replacesAnswer reports whether the fault replaces the documented answer. Header alone does not: it
// belongs to the answer that a fault sends itself.
func (f Fault) replacesAnswer() bool {
	return f.Status != 0 || f.Body != "" || f.Size > 0 || f.Reset || f.Hang
}

// allowsAccept reports whether a POST that meets the fault can start its workflow. Whether it does still
// depends on the key, the session and the task.
func (f Fault) allowsAccept() bool { return f.Accepted || !f.replacesAnswer() }

// leavesDoubt reports whether a client cannot know after this fault whether its POST was accepted. A 503
// with Retry-After leaves no doubt: the server turned the request away on purpose. Other 5xx do, and so
// does a success that is not the documented answer.
func (f Fault) leavesDoubt() bool {
	switch {
	case !f.replacesAnswer():
		return f.Cut
	case f.Reset, f.Hang, f.Status < 300:
		return true
	case f.Status == http.StatusServiceUnavailable:
		return !f.hasHeader("Retry-After") // with any value
	default:
		return f.Status >= 500
	}
}

// hasHeader ignores the case of the name, because a Fault from JSON may spell it in any way.
func (f Fault) hasHeader(header string) bool {
	for name := range f.Header {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// onto returns what the client gets: the fault, or the documented answer with the fault's changes to its bytes.
func (f Fault) onto(documented Fault) Fault {
	if f.replacesAnswer() {
		return f
	}
	documented.Name, documented.Cut, documented.Chunked = f.Name, f.Cut, f.Chunked
	documented.Prefix, documented.Suffix, documented.Behind = f.Prefix, f.Suffix, f.Behind
	return documented
}

type (
	plainFault Fault // without methods
	faultJSON  struct {
		*plainFault
		Until  duration `json:"until,omitempty"`
		Before duration `json:"before,omitempty"`
		After  duration `json:"after,omitempty"`
	}
)

// MarshalJSON spells the durations as in Go.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{plainFault: (*plainFault)(&f), Until: duration(f.Until), Before: duration(f.Before), After: duration(f.After)})
}

// UnmarshalJSON reads what MarshalJSON writes. It returns an error for an unknown field, and leaves fields alone that are
// not mentioned.
func (f *Fault) UnmarshalJSON(data []byte) error {
	aux := faultJSON{plainFault: (*plainFault)(f), Until: duration(f.Until), Before: duration(f.Before), After: duration(f.After)}
	if err := unmarshalStrict(data, &aux); err != nil {
		return err
	}
	f.Until, f.Before, f.After = time.Duration(aux.Until), time.Duration(aux.Before), time.Duration(aux.After)
	return nil
}
