package inspect

import (
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// failed explains a task that has failed: why, what to do, and whether it can be run again.
func (f *finding) failed() string {
	id, code, message := f.task.ID, f.task.Code(), ""
	if ev := f.task.Event; ev != nil && ev.Error != nil {
		message = ev.Error.Message
	}
	var text string
	switch f.task.State {
	case Canceled:
		text = fmt.Sprintf("%s was canceled%s", id, f.ended())
	case Refused:
		text = fmt.Sprintf("%s was refused%s: %s", id, f.ended(), code)
	default:
		text = fmt.Sprintf("%s failed%s: %s", id, f.ended(), code)
	}
	if message != "" {
		text += ": " + strings.TrimRight(message, ".")
	}
	text += "."
	switch {
	case code == task.InvalidRequest && f.task.State != Refused:
		text += " Publish it with a new task_id once the workers can run it."
	case code != task.Canceled || message == "": // the message of a cancellation says what became of the workflow
		text += " " + f.advice(code)
	}
	return text + " " + f.again(code)
}

// ended says when the task ended and how long it ran, as far as that is known.
func (f *finding) ended() (text string) {
	var submitted, finished time.Time
	switch {
	case f.task.Event != nil:
		submitted, finished = f.task.Event.SubmittedAt, f.task.Event.FinishedAt
	case f.task.Record != nil:
		submitted, finished = f.task.Record.SubmittedAt, f.task.Record.FinishedAt
	}
	if finished.IsZero() {
		return ""
	}
	text = " at " + f.clock(finished)
	if !submitted.IsZero() {
		text += " after " + finished.Sub(submitted).Round(time.Second).String()
	}
	return text
}

// advice says what to do about a failure.
func (f *finding) advice(code task.Code) string {
	session := f.task.Session()
	hasEnded := session.Ended != nil && *session.Ended // and with it what ran in it
	switch {
	case hasEnded && code == task.Timeout:
		return "Give it a longer timeout if tasks like it need one."
	case hasEnded && code == task.Canceled:
		return "Nothing of it runs any more."
	}
	switch code {
	case task.InvalidRequest:
		return "Correct the request and publish it again; it can keep its task_id."
	case task.DuplicateTask:
		return "Another request has used this task_id: publish this one with a new task_id."
	case task.Expired:
		return "Its expires_at had passed before it could be submitted: publish it with a later one and a new task_id."
	case task.Rejected:
		return "Anchor does not accept this request: correct it and publish it with a new task_id."
	case task.SubmissionUnknown:
		return "Anchor may have started it: look at its effects before it runs again."
	case task.WorkflowFailed, task.AgentFailed:
		return "Look at the message and at what the agent sent" + map[Reader]string{InShell: ": capstan get shows both.", OnPage: ", which are below."}[f.reader]
	case task.StepLimit:
		return "Allow it more steps with max_steps."
	case task.InvalidResult:
		return "Make the prompt say what output_schema demands, or relax the schema."
	case task.WorkflowLost:
		return "It may have had effects: look at them before it runs again."
	case task.Timeout:
		return "Its workflow may still be running at Anchor. Give it a longer timeout if tasks like it need one."
	case task.Canceled:
		return "If it was submitted, its workflow may still be running at Anchor."
	case task.Poisoned:
		return "It kills or hangs workers: report that, with its dead letter."
	case task.SecretUnavailable:
		return "Put the file under SECRETS_DIR of all workers. Nothing was submitted."
	default:
		return "This version does not know the code: see the changelog of the workers' version."
	}
}

// again says how to find out whether the task can be run again: redrive knows its other runs, and what was redacted.
func (f *finding) again(code task.Code) string {
	command := "capstan redrive --task " + f.task.ID
	switch {
	case !code.Retryable():
		return "The same request would fail again."
	case f.reader == OnPage:
		return "The button Run again… shows whether it can be run again; in a shell, " + command + " does."
	default:
		return command + " shows whether it can be run again."
	}
}
