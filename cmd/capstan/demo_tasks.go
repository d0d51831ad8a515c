//go:build !nodemo

package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/capstan-worker/capstan/internal/task"
)

// demoTask is one of the demo's tasks, and how it should end.
type demoTask struct {
	id     string
	prompt string
	url    string
	schema jsonText
	// ends is the state in which the task should end, or empty if either will do.
	ends task.State
}

// demoTasks returns two tasks that succeed and one that fails, because its page does not exist. A real
// agent may treat such a page as it likes. The ids are new in each demo.
func demoTasks(api demoAPI) []demoTask {
	const schema = `{"type":"object","properties":{"heading":{"type":"string"}},"required":["heading"]}`
	run := strings.ToLower(rand.Text()[:5]) // with --data there are ids of earlier demos
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

// request is the JSON to publish. It is encoded like the flags of capstan submit, so the demo shows nothing
// that a user cannot do.
func (d demoTask) request() ([]byte, error) {
	return fields{Prompt: &d.prompt, URL: &d.url, TaskID: &d.id, OutputSchema: d.schema}.encode()
}

// judge returns an error if the task did not end as expected. The demo then exits with status 1, which
// makes it a smoke test of the whole program.
func (d demoTask) judge(ev task.Event) error {
	if d.ends == "" || d.ends == ev.Status {
		return nil
	}
	return fmt.Errorf("task %s ended as %s, expected %s", d.id, ev.Status, d.ends)
}
