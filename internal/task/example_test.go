package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func ExampleParseRequest() {
	d := task.Delivery{Stream: "TASKS", Seq: 7, Data: []byte(`{
		"task_id": "ord-1842",
		"prompt": "Read the heading of the page.",
		"url": "https://shop.example/orders/1842",
		"timeout": "10m",
		"metadata": {"order": 1842}
	}`)}
	r, err := task.ParseRequest(d, task.Defaults{Timeout: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.TaskID, r.Timeout, string(r.Metadata))
	fmt.Println(string(r.Body))
	// Output:
	// ord-1842 10m0s {"order": 1842}
	// {"async":true,"prompt":"Read the heading of the page.","url":"https://shop.example/orders/1842"}
}

// A request that breaks a rule is answered with an event that names the field and the rule.
func ExampleParseRequest_invalid() {
	d := task.Delivery{Stream: "TASKS", Seq: 7, Data: []byte(`{"prompt": "Read the heading.", "urll": "https://shop.example"}`)}
	_, err := task.ParseRequest(d, task.Defaults{Timeout: time.Hour})
	invalid, _ := errors.AsType[*task.InvalidError](err)
	fmt.Println(invalid.TaskID, invalid.Field)
	fmt.Println(invalid)
	// Output:
	// TASKS-7 urll
	// unknown field "urll"; did you mean "url"? (put new API parameters in "extra")
}

func ExampleRequest_Judge() {
	d := task.Delivery{Stream: "TASKS", Seq: 7, Data: []byte(`{
		"prompt": "Read the heading of the page.",
		"url": "https://shop.example",
		"output_schema": {"type": "object", "required": ["heading"]}
	}`)}
	r, err := task.ParseRequest(d, task.Defaults{Timeout: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, result := range []string{
		"{\"status\": \"success\", \"result\": \"```json\\n{\\\"heading\\\": \\\"Hello\\\"}\\n```\"}",
		`{"status": "success", "result": "I could not find it."}`,
	} {
		completed := task.Workflow{Status: "COMPLETED", Result: json.RawMessage(result)}
		v, err := r.Judge(context.Background(), task.Outcome{Workflow: completed})
		switch {
		case err != nil:
			fmt.Println(err)
		case v.Error != nil:
			fmt.Println(v.Error.Code)
		default:
			fmt.Println(string(v.Result))
		}
	}
	// Output:
	// {"heading": "Hello"}
	// invalid_result
}

// A record keeps what a newer version wrote into it.
func ExampleParseRecord() {
	r, err := task.ParseRecord([]byte(`{"task_id":"ord-1842","state":"waiting","owner":"w1","epoch":1,"request_seq":7,"digest":"d",` +
		`"requested_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","cost":"march"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r.State, r.Attempts = task.Submitting, 1
	fmt.Println(string(r.JSON()))
	// Output:
	// {"task_id":"ord-1842","state":"submitting","owner":"w1","epoch":1,"request_seq":7,"digest":"d","attempts":1,"requested_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","cost":"march"}
}

func ExampleEvent_JSON() {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ev := task.Event{
		TaskID: "ord-1842", Status: task.Failed, Error: task.NewError(task.Expired, "expires_at had passed"),
		RequestedAt: at, FinishedAt: at.Add(time.Minute), Worker: "w1",
	}
	data, err := ev.JSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(data))
	// Output:
	// {"task_id":"ord-1842","status":"failed","error":{"code":"expired","message":"expires_at had passed","retryable":false},"requested_at":"2026-03-01T12:00:00Z","finished_at":"2026-03-01T12:01:00Z","attempts":0,"polls":0,"worker":"w1"}
}

// Not every reader of JSON accepts what an API may send.
func ExamplePortable() {
	fmt.Printf("%s\n", task.Portable(json.RawMessage("{\"city\": \"Z\xFCrich\", \"half an emoji\": \"\\ud83d\", \"n\": 1e400}")))
	// Output:
	// {"city": "Z�rich", "half an emoji": "�", "n": "1e400"}
}

func ExampleRedactRequest() {
	body, kept := task.RedactRequest([]byte(`{"prompt": "log in with 4711", "secret_values": {"PIN": "4711"}, "max_steps": 0}`))
	fmt.Println(string(body), kept)
	body, kept = task.RedactRequest([]byte(`{"prompt": "log in", "secret_values": {"PIN": "47`))
	fmt.Println(string(body), kept)
	// Output:
	// {"prompt": "log in with [redacted:PIN]", "secret_values": {"PIN": "[redacted:PIN]"}, "max_steps": 0} true
	//  false
}

func ExampleSecret() {
	key := task.Secret("sk-live-77")
	fmt.Printf("%s %v %q %x\n", key, key, key, key)
	fmt.Println(string(key))
	// Output:
	// [redacted] [redacted] [redacted] [redacted]
	// sk-live-77
}
