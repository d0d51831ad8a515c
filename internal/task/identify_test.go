package task_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// What a queued request is called must be what its record and its event will be called.
func TestTheIdentityOfARequestIsThatOfItsTask(t *testing.T) {
	for name, d := range map[string]task.Delivery{
		"its own id":             delivery(with(`"task_id":"a","batch":"night"`)),
		"its publisher's":        published(map[string][]string{"Nats-Msg-Id": {"b"}}),
		"none":                   delivery(with(`"model":"m"`)),
		"another's default":      delivery(with(`"task_id":"TASKS-3"`)),
		"two ids":                delivery(with(`"task_id":"a","task_id":"b"`)),
		"a mark of the encoding": delivery("\ufeff" + with(`"task_id":"a"`)),
		"no JSON":                delivery(`{"task_id":"a"`),
		"no object":              delivery(`[1]`),
		"an unknown field":       delivery(with(`"task_id":"a","batch":"night","urll":"x"`)),
		"a batch that is none":   delivery(with(`"task_id":"a","batch":"a b"`)),
		"an escaped id":          delivery(with(`"task_id":"\u0061"`)),
	} {
		t.Run(name, func(t *testing.T) {
			var want task.Identity
			r, err := task.ParseRequest(d, defaults)
			if err == nil {
				want = task.Identity{TaskID: r.TaskID, Batch: r.Batch, Host: r.Host}
			} else {
				e := refuse(t, d)
				want = task.Identity{TaskID: e.TaskID, Batch: e.Batch, Host: task.Identify(d).Host}
			}
			if got := task.Identify(d); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestTheHostOfARequestIsInLowerCase(t *testing.T) {
	d := delivery(`{"prompt":"p","url":"https://Shop.Example:8443/a"}`)
	if got, want := task.Identify(d).Host, "shop.example"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
