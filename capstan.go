// Package capstan submits browser tasks to a queue that Capstan's workers run, and waits for their events. It needs only the
// NATS client:
//
//	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1))
//	js, err := jetstream.New(nc) // or jetstream.NewWithDomain
//	tasks := capstan.New(js, capstan.Config{})
//	event, err := tasks.Submit(ctx, capstan.Request{
//		TaskID: "ord-1842", URL: "https://example.com", Prompt: "Extract the main heading",
//	})
//
// A task id is run at most once. So after an error, a crash or a time-out, submit the same request again: it waits for the
// task that runs, or gets the event of the one that has ended. The end of ctx ends the wait and not the task: to end a task,
// use capstan cancel.
//
// Each wait has a consumer of its own, which reads the headers of all events. A program with thousands of tasks at once
// should publish them and read the events with one durable consumer, as in the README.
package capstan

import (
	"cmp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config names the streams and subjects, if the workers have others than by default. An empty field is the default.
type Config struct {
	RequestSubject string // tasks.request
	ResultStream   string // TASK_RESULTS
	ResultSubject  string // tasks.result
}

// Client submits tasks and waits for their events. Many goroutines may use it at once.
type Client struct {
	js  jetstream.JetStream
	nc  *nats.Conn
	cfg Config
}

// New returns a client that uses the connection of js. It makes no call. Whoever made the connection closes it.
func New(js jetstream.JetStream, cfg Config) *Client {
	return &Client{js: js, nc: js.Conn(), cfg: Config{
		RequestSubject: cmp.Or(cfg.RequestSubject, "tasks.request"),
		ResultStream:   cmp.Or(cfg.ResultStream, "TASK_RESULTS"),
		ResultSubject:  cmp.Or(cfg.ResultSubject, "tasks.result"),
	}}
}
