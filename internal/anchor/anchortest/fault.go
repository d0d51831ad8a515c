package anchortest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Fault is what goes wrong with a call. One that has only delays ends in the documented answer; every
// other takes its place.
type Fault struct {
	Times int           `json:"times,omitempty"` // for how many calls in a list: 0 and 1 mean one, -1 all from here on
	Until time.Duration `json:"-"`               // for all calls until then, instead of Times: see During

	Status  int               `json:"status,omitempty"`  // of the answer; 0 means 200 where Body or Size is set
	Header  map[string]string `json:"header,omitempty"`  // of the answer
	Body    string            `json:"body,omitempty"`    // of the answer, as it is; default: an error as documented
	Size    int               `json:"size,omitempty"`    // of the answer's body in bytes, instead of Body: a valid status answer
	Fill    string            `json:"fill,omitempty"`    // what a result of that Size consists of, as it stands in JSON; default: a
	Chunked bool              `json:"chunked,omitempty"` // the answer is sent in chunks, without its length
	Cut     bool              `json:"cut,omitempty"`     // the connection is reset in the middle of the answer

	Prefix string `json:"prefix,omitempty"` // before the first byte of the answer, which may be the documented one
	Suffix string `json:"suffix,omitempty"` // after its last byte, and part of the answer
	Behind string `json:"behind,omitempty"` // on the connection behind the end of the answer, which is too long by that

	Reset bool `json:"reset,omitempty"` // the connection is reset instead of an answer
	Hang  bool `json:"hang,omitempty"`  // nothing is answered until the client goes away

	Accepted bool          `json:"accepted,omitempty"` // of a POST: it failed, and the workflow was started
	Before   time.Duration `json:"-"`                  // delay before a POST is accepted, also if the client is gone by then
	After    time.Duration `json:"-"`                  // delay before the answer
}

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

// During is the fault for all calls until that long after the first: of a POST after the task's first POST, of
// a poll after its workflow was accepted. In a list it must stand before those that are counted, and the calls
// that it strikes are not counted for them.
func (f Fault) During(d time.Duration) Fault {
	f.Until = d
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
		return !f.has("Retry-After") // whatever its value is
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
		Until  duration `json:"until,omitempty"`
		Before duration `json:"before,omitempty"`
		After  duration `json:"after,omitempty"`
	}
)

// MarshalJSON writes the delays as texts.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{plainFault: (*plainFault)(&f), Until: duration(f.Until), Before: duration(f.Before), After: duration(f.After)})
}

// UnmarshalJSON reads what MarshalJSON writes. An unknown field is an error.
func (f *Fault) UnmarshalJSON(data []byte) error {
	aux := faultJSON{plainFault: (*plainFault)(f)}
	if err := strict(data, &aux); err != nil {
		return err
	}
	f.Until, f.Before, f.After = time.Duration(aux.Until), time.Duration(aux.Before), time.Duration(aux.After)
	return nil
}
