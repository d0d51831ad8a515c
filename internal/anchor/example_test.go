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

// A submission that is refused, one that is accepted, and the end of its workflow.
func Example() {
	api := anchortest.New()
	if err := api.Start("127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()
	cfg := anchor.Config{BaseURL: api.URL(), APIKey: anchor.Secret(api.Key()), RequestTimeout: 5 * time.Second}
	client, err := anchor.New(cfg, "1.0", prometheus.NewRegistry())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx := context.Background()

	_, err = client.Submit(ctx, "", []byte(`{"url":"https://shop.example/","async":true}`))
	if refusal, ok := errors.AsType[*task.SubmitError](err); ok {
		fmt.Println("refused for good:", refusal.Kind == task.Refused)
	}
	id, err := client.Submit(ctx, "", []byte(`{"prompt":"buy","url":"https://shop.example/","async":true}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	workflow, err := client.Status(ctx, id, anchor.MaxAnswer)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s with %s\n", workflow.Status, workflow.Result)
	// Output:
	// refused for good: true
	// COMPLETED with "done"
}
