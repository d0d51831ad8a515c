// Package forecast tells from the tasks that have ended when others are likely to begin and to end. It only calculates.
package forecast

import "time"

// Estimate is when something is likely to happen.
type Estimate struct {
	At      time.Time `json:"at,omitzero"`
	From    time.Time `json:"from,omitzero"`     // hardly earlier
	To      time.Time `json:"to,omitzero"`       // hardly later
	Unknown string    `json:"unknown,omitempty"` // why nothing can be said; the times are zero then
}

// IsKnown reports whether there is a time.
func (e Estimate) IsKnown() bool { return !e.At.IsZero() }

// Spread is a duration that is not known exactly.
type Spread struct {
	Least  time.Duration // it is hardly shorter
	Likely time.Duration
	Most   time.Duration // it is hardly longer
}

// After returns the estimate that lies so far ahead of a moment.
func (s Spread) After(moment time.Time) Estimate {
	return Estimate{At: moment.Add(s.Likely), From: moment.Add(s.Least), To: moment.Add(s.Most)}
}

// Max returns the longer of each.
func (s Spread) Max(other Spread) Spread {
	return Spread{max(s.Least, other.Least), max(s.Likely, other.Likely), max(s.Most, other.Most)}
}
