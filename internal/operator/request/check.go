// Package request reads and changes the JSON of requests that people write, and checks it by the rules of the workers. What it
// does not change keeps its bytes.
package request

import "github.com/capstan-worker/capstan/internal/task"

// CheckBatch returns an error if no request can have this batch.
func CheckBatch(name string) error { return CheckField("batch", Quote(name)) }

// CheckTaskID returns an error if no task can have this id.
func CheckTaskID(id string) error { return CheckField("task_id", Quote(id)) }

// CheckField returns an error if a request cannot have this value in a field. It puts the value into a minimal request,
// because the rule belongs to the package that reads requests.
func CheckField(name string, value []byte) error {
	minimal := Object{{"prompt", Quote("p")}, {"url", Quote("https://example.com")}}.With(name, value)
	_, err := task.ParseRequest(task.Delivery{Data: minimal.JSON()}, task.Defaults{})
	return err
}
