package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// exampleClient returns a client of a stand-in for the API. A program would use https://api.anchorbrowser.io and its key.
func exampleClient() (client *anchor.Client, closeAll func()) {
	api := anchortest.New()
	if err := api.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	cfg := anchor.Config{BaseURL: api.URL(), APIKey: anchor.Secret(api.Key()), RequestTimeout: 5 * time.Second}
	client, err := anchor.New(cfg, "1.0", prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); api.Close() }
}

// The kind of the error says whether the task may be submitted again.
func ExampleClient_Submit() {
	client, closeAll := exampleClient()
	defer closeAll()

	id, err := client.Submit(context.Background(), "", []byte(`{"url":"https://shop.example/","async":true}`)) // no prompt
	e, failed := errors.AsType[*task.SubmitError](err)
	switch {
	case !failed:
		fmt.Println("accepted as workflow", id)
	case e.Kind == task.Refused:
		fmt.Printf("refused with %d: %s\n", e.HTTPStatus, e.Message)
	case e.Kind == task.NotNow:
		fmt.Printf("not accepted (%s), try again in %v\n", e.Reason, e.RetryAfter)
	default: // task.Unknown
		fmt.Println("it may be running; submitting it again could run it twice")
	}
	// Output:
	// refused with 400: prompt is required
}

// A caller asks again later while the workflow runs, and after an error.
func ExampleClient_Status() {
	client, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	id, err := client.Submit(ctx, "", []byte(`{"prompt":"Buy one","url":"https://shop.example/","async":true}`))
	if err != nil {
		fmt.Println(err)
		return
	}

	workflow, err := client.Status(ctx, id, anchor.MaxAnswer)
	switch {
	case err != nil:
		fmt.Println("unknown:", err)
	case !workflow.Ended():
		fmt.Println("still running")
	default:
		fmt.Printf("%s with result %s\n", workflow.Status, workflow.Result)
	}
	// Output:
	// COMPLETED with result "done"
}

// A task gets a session of its own, which is ended with it and says what it cost.
func ExampleClient_CreateSession() {
	client, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	session, err := client.CreateSession(ctx, task.SessionRequest{Tags: []string{"order-7"}, MaxDuration: time.Hour})
	if err != nil {
		fmt.Println(err) // a *task.SubmitError; its Kind says whether there may be a session
		return
	}
	if _, err := client.Submit(ctx, session.ID, []byte(`{"prompt":"Buy one","async":true}`)); err != nil {
		fmt.Println(err)
		return
	}
	if err := client.EndSession(ctx, session.ID); err != nil {
		fmt.Println("it ends after an hour:", err)
	}
	ended, err := client.Session(ctx, session.ID)
	if err != nil || ended.Steps == nil {
		fmt.Println("steps are unknown:", err)
		return
	}
	fmt.Printf("%s after %d step\n", ended.Status, *ended.Steps)
	// Output:
	// completed after 1 step
}

// A session whose creation had an unknown outcome is found by its tag.
func ExampleClient_FindSessions() {
	client, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	if _, err := client.CreateSession(ctx, task.SessionRequest{Tags: []string{"order-7", "shop"}}); err != nil {
		fmt.Println(err)
	}

	sessions, err := client.FindSessions(ctx, "order-7")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, session := range sessions {
		fmt.Println(session.Tags, session.Status)
	}
	// Output:
	// [order-7 shop] running
}
