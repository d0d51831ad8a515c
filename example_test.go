package capstan_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan"
)

// Without a TaskID, the example runs a new task each time. With one, the second call would get the event of the first.
func Example() {
	if err := printHeading(); err != nil {
		log.Print(err)
	}
}

func printHeading() error {
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	tasks := capstan.New(js, capstan.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	event, err := tasks.Submit(ctx, capstan.Request{URL: "https://example.com", Prompt: "Extract the main heading"})
	if pending, ok := errors.AsType[*capstan.PendingError](err); ok {
		log.Printf("task %s goes on: wait for it with tasks.Wait, or submit its request again", pending.Task.ID)
	}
	if err != nil {
		return err
	}
	if err := event.Err(); err != nil { // the task failed
		return err
	}
	result, err := tasks.Result(ctx, event)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", result)
	return nil
}
