//go:build !nodemo

package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/capstan-worker/capstan/internal/task"
)

// demoTask is a task of the demo's own and how it should end.
type demoTask struct {
	id     string
	prompt string
	url    string
	schema jsonText
	ends   task.State // empty where any end will do
}

// demoTasks returns two tasks that succeed and one that cannot. What a real agent makes of a page that is
// not there is up to it.
func demoTasks(api demoAPI) []demoTask {
	const schema = `{"type":"object","properties":{"heading":{"type":"string"}},"required":["heading"]}`
	run := strings.ToLower(rand.Text()[:5]) // with --data the ids of an earlier demo are taken
	last := demoTask{id: "missing-" + run, prompt: "Extract the main heading", url: api.missing, schema: jsonText(schema), ends: task.Failed}
	if api.real {
		last.ends = ""
	}
	return []demoTask{
		{id: "heading-" + run, prompt: "Extract the main heading", url: api.page, schema: jsonText(schema), ends: task.Succeeded},
		{id: "paragraph-" + run, prompt: "Extract the first paragraph", url: api.page, ends: task.Succeeded},
		last,
	}
}

// request is the task as it is published.
func (d demoTask) request() ([]byte, error) {
	return fields{Prompt: &d.prompt, URL: &d.url, TaskID: &d.id, OutputSchema: d.schema}.encode()
}

// judge returns nil for the end the task should have.
func (d demoTask) judge(ev task.Event) error {
	if d.ends == "" || d.ends == ev.Status {
		return nil
	}
	return fmt.Errorf("task %s ended as %s and not as %s", d.id, ev.Status, d.ends)
}
