package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// taskTime is how long Task waits for the answer.
const taskTime = 500 * time.Millisecond

// TaskStatus is what a worker is doing for a task. Its times are those of the clock that the workers share.
type TaskStatus struct {
	Worker     string          `json:"worker"`
	TaskID     string          `json:"task_id"`
	Step       string          `json:"step"`                 // for people
	Since      time.Time       `json:"since,omitzero"`       // when the step began
	WaitsFor   task.WaitReason `json:"waits_for,omitempty"`  // why it is not submitted yet
	WaitsUntil time.Time       `json:"waits_until,omitzero"` // when that is over, if it is known
	NextPoll   time.Time       `json:"next_poll,omitzero"`   // of a task whose workflow runs
	Polls      int             `json:"polls,omitzero"`       // status calls that were answered
}

// answerTask answers a question on [jet.TaskSubject], whose body is the id of a task, with the TaskStatus of a task that this
// worker has. All other workers stay silent.
func answerTask(prefix string, find func(taskID string) (TaskStatus, bool)) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		if find == nil || len(r.Data()) > task.LongestID || !isInbox(r.Reply(), prefix) {
			return
		}
		if status, found := find(string(r.Data())); found {
			_ = r.RespondJSON(status) // the asker has gone
		}
	})
}

// NextPoll asks the worker that has a task when it polls the task's workflow again. It returns the zero time if none says so.
func NextPoll(ctx context.Context, nc *nats.Conn, taskID string) time.Time {
	status, _, err := Task(ctx, nc, taskID)
	if err != nil {
		return time.Time{}
	}
	return status.NextPoll
}

// Task asks the workers that run what they are doing for a task. found is false if none has it, or if none answers within
// 500 ms.
func Task(ctx context.Context, nc *nats.Conn, taskID string) (status TaskStatus, found bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return TaskStatus{}, false, fmt.Errorf("ask the workers for task %s: %w", taskID, err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := nc.PublishRequest(jet.TaskSubject, inbox, []byte(taskID)); err != nil {
		return TaskStatus{}, false, fmt.Errorf("ask the workers for task %s: %w", taskID, err)
	}
	for range mostAnswers { // whoever may subscribe may answer, and with anything
		msg, err := answers.NextMsgWithContext(bounded)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return TaskStatus{}, false, nil
		case errors.Is(err, nats.ErrSlowConsumer): // some answers were dropped
			continue
		case err != nil:
			return TaskStatus{}, false, fmt.Errorf("ask the workers for task %s: %w", taskID, err)
		}
		if len(msg.Data) <= answerSize && json.Unmarshal(msg.Data, &status) == nil && status.Worker != "" && status.TaskID == taskID {
			return status, true, nil
		}
		status = TaskStatus{}
	}
	return TaskStatus{}, false, nil
}
