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
	Runs       func()    // called each time the API says that the workflow runs; may be nil
}
