package anchortest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// A client under test meets a rate limit, is accepted, and polls a workflow that runs until the test releases it.
func Example() {
	plan := anchortest.Plan{
		Submit: []anchortest.Fault{anchortest.RateLimited(2)},
		Block:  true,
		Result: json.RawMessage(`{"price":12.5}`),
	}
	api := anchortest.New(anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return plan }))
	if err := api.Start("127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()

	const webTask = "/v1/tools/perform-web-task"
	const task = `{"prompt":"Read the price","url":"https://shop.example/","async":true}`
	fmt.Println(exampleCall(api, "POST", webTask, task))
	exampleCall(api, "POST", webTask, task)
	status := webTask + "/" + api.Log("Read the price").Workflows[0] + "/status"
	fmt.Println(exampleCall(api, "GET", status, ""))
	api.Release("Read the price")
	fmt.Println(exampleCall(api, "GET", status, ""))

	log := api.Log("Read the price")
	fmt.Printf("%d submissions, %d accepted, %d polls\n", log.Posts, log.Accepted, log.Polls)
	// Output:
	// {"error":{"code":429,"message":"Too Many Requests"}}
	// {"data":{"status":"RUNNING"}}
	// {"data":{"result":{"price":12.5},"status":"COMPLETED"}}
	// 2 submissions, 1 accepted, 2 polls
}

// exampleCall is in the place of the client under test.
func exampleCall(api *anchortest.Server, method, target, body string) string {
	req, err := http.NewRequestWithContext(context.Background(), method, api.URL()+target, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Anchor-Api-Key", api.Key())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}
