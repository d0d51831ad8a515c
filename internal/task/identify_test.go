package task_test

import (
	"testing"
	"time"

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

// Records, dead letters and lists show the host. A token can be in it.
func TestAHostWithASecretIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct{ fields, want string }{
		"no secret in it":   {`"url":"https://shop.example/tok-17x","secret_values":{"PIN":"tok-17x"}`, "shop.example"},
		"a subdomain":       {`"url":"https://tok-17x.example/","secret_values":{"PIN":"tok-17x"}`, ""},
		"in capitals":       {`"url":"https://tok-17x.example/","secret_values":{"PIN":"TOK-17x"}`, ""},
		"before the url":    {`"secret_values":{"PIN":"tok-17x"},"url":"https://a.Tok-17X.example/"`, ""},
		"an empty secret":   {`"url":"https://shop.example/","secret_values":{"PIN":""}`, "shop.example"},
		"no secrets at all": {`"url":"https://shop.example/"`, "shop.example"},
	} {
		d := task.Delivery{Stream: "TASKS", Seq: 1, Data: []byte(`{"prompt":"p",` + c.fields + `}`)}
		r, err := task.ParseRequest(d, task.Defaults{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if queued := task.Identify(d).Host; r.Host != c.want || queued != c.want {
			t.Errorf("%s: got %q and, while it is queued, %q, want %q", name, r.Host, queued, c.want)
		}
	}
	d := task.Delivery{Stream: "TASKS", Seq: 1, Data: []byte(`{"prompt":"p","url":"https://tok-17x.example/","secret_refs":{"PIN":"pin"}}`)}
	r, err := task.ParseRequest(d, task.Defaults{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r.AddSecrets([]string{"tok-17x"})
	if r.Host != "" {
		t.Errorf("got %q with a secret of a file, want none", r.Host)
	}
}
