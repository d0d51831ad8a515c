package task

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxReason bounds the texts of a value that an operator has written, in bytes.
const maxReason = 256

// ErrCanceled is the cause of a wait that ended because its task was canceled.
var ErrCanceled = errors.New("the task was canceled")

// Cancellation says why a task is to end.
type Cancellation struct {
	Reason string    `json:"reason,omitempty" desc:"why; it is in the events of the tasks"`
	By     string    `json:"by,omitempty" desc:"who canceled"`
	At     time.Time `json:"at,omitzero" desc:"when"`
}

// String returns the cancellation for people: "canceled by ada: wrong customer".
func (c Cancellation) String() string { return withReason(withBy("canceled", c.By), c.Reason) }

// ParseCancellation reads the value of a cancel key. Anything that can write a key can cancel, so it takes any value: one
// that is not a JSON object is the reason itself. Texts become one line of at most 256 bytes.
func ParseCancellation(value []byte) Cancellation {
	var c Cancellation
	if jsontext.Value(value).Kind() != '{' || json.Unmarshal(value, &c) != nil {
		c = Cancellation{Reason: plainText(value)}
	}
	c.Reason, c.By = OneLine(c.Reason, maxReason), OneLine(c.By, maxReason)
	return c
}

// Pause says why nothing is to be submitted, and until when.
type Pause struct {
	Reason string    `json:"reason,omitempty" desc:"why; the workers and capstan status show it"`
	By     string    `json:"by,omitempty" desc:"who paused"`
	Until  time.Time `json:"until,omitzero" desc:"end of the pause, by the clock of the NATS server. Without it the pause lasts until its key is deleted"`
}

// String returns the pause for people: "paused by ada until 2026-01-02T06:00:00Z: maintenance".
func (p Pause) String() string {
	text := withBy("paused", p.By)
	if !p.Until.IsZero() {
		text += " until " + p.Until.UTC().Format(time.RFC3339)
	}
	return withReason(text, p.Reason)
}

// ParsePause reads the value of the key pause. It takes any value, for a pause that is not understood is a pause: without
// an until that can be read, it lasts until the key is deleted. A value that is not a JSON object is the reason itself.
func ParsePause(value []byte) Pause {
	var p Pause
	if jsontext.Value(value).Kind() != '{' {
		p.Reason = plainText(value)
	} else if json.Unmarshal(value, &p) != nil { // an until that is no RFC 3339 time
		var parts struct{ Reason, By, Until any }
		_ = json.Unmarshal(value, &parts) // what cannot be read stays empty
		reason, _ := parts.Reason.(string)
		by, _ := parts.By.(string)
		p = Pause{Reason: reason, By: by}
	}
	p.Reason, p.By = OneLine(p.Reason, maxReason), OneLine(p.By, maxReason)
	return p
}

// plainText returns a value that is a JSON string or no JSON at all as text.
func plainText(value []byte) string {
	if text := textOf(value); text != "" {
		return text
	}
	return string(value)
}

// withBy adds who did it, if that is known.
func withBy(text, by string) string {
	if by == "" {
		return text
	}
	return text + " by " + by
}
