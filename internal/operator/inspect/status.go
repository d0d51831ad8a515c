// Package inspect shows people a queue: how far it is and when it will be empty, its tasks, and why one of them waits or has
// ended as it has. The tool and the web page show the same figures, because both take them from here.
package inspect

import (
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

// Status is how far a queue or a batch is. Its JSON is public: names are never changed.
type Status struct {
	At    time.Time `json:"at"` // by the clock of the NATS server
	Batch string    `json:"batch,omitempty"`

	Canceled *task.Cancellation `json:"canceled,omitempty"` // of the batch, with its tasks and those that are submitted to it later

	Queued        int                     `json:"queued"`                    // no worker has begun them: there is no record
	QueuedAtLeast bool                    `json:"queued_at_least,omitempty"` // there were too many to look at each
	Waiting       int                     `json:"waiting"`                   // on workers, not submitted
	WaitsFor      map[task.WaitReason]int `json:"waits_for,omitempty"`       // of these, by reason
	Submitting    int                     `json:"submitting"`
	Running       int                     `json:"running"`
	Other         int                     `json:"other,omitempty"` // in a state that only a newer version knows
	Succeeded     int                     `json:"succeeded"`
	Failed        int                     `json:"failed"`
	FailedByCode  map[task.Code]int       `json:"failed_by_code,omitempty"`
	Redriven      int                     `json:"redriven,omitempty"`   // of those that failed, those that were run again, by capstan redrive
	Cost          operator.Cost           `json:"cost,omitzero"`        // of the tasks that have ended
	FailedCost    operator.Cost           `json:"failed_cost,omitzero"` // of these, those that failed

	PerMinute float64           `json:"per_minute"`        // tasks that ended lately, also of other batches; 0: too few to say
	LastEnd   time.Time         `json:"last_end,omitzero"` // when a task last ended
	Done      forecast.Estimate `json:"done,omitzero"`     // when all will have ended; zero if all have

	Limit   LimitUse       `json:"limit"`
	Pauses  []PausedBy     `json:"pauses,omitempty"`
	Workers []fleet.Status `json:"workers"`
	Notes   []string       `json:"notes,omitempty"` // what could not be read
}

// Open returns the number of tasks that have not ended.
func (s *Status) Open() int { return s.Queued + s.Waiting + s.Submitting + s.Running + s.Other }

// LimitUse is how many tasks the workers hold at once.
type LimitUse struct {
	InFlight int    `json:"in_flight"` // 0: not known
	Plan     int    `json:"plan"`      // browsers of the plan; -1: no limit; 0: not known
	Held     int    `json:"held"`      // tasks that workers hold now
	Reason   string `json:"reason,omitempty"`
}

// Note adds what could not be read; nil adds nothing. A stream that is missing has nothing to read.
func (s *Status) Note(err error) {
	if err != nil && !operator.IsMissing(err) {
		s.Notes = append(s.Notes, err.Error())
	}
}
