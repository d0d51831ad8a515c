package task

import "time"

// Watch is a workflow whose end is waited for.
type Watch struct {
	TaskID     string
	WorkflowID string
	Kind       string    // what is known of how long it may run: tasks of one kind are alike; see Request.Kind
	Submitted  time.Time // when the workflow began
	Deadline   time.Time // when its time is up
	Resumed    bool      // another delivery has waited for it before
	Answered   func()    // called for each answer of the API that does not end the wait; may be nil
}
