package contract

import (
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/streams"
)

// channel is a subject, and the stream or bucket that stores its messages.
type channel struct {
	name        string
	address     string
	message     string
	description string
	stream      object // see x-jetstream in the document's description
	operation   string
	action      string // receive or send, as the worker does it
}

// The streams behind the channels, as a worker creates them. Buckets are streams: ADR-8 of NATS describes them.
func requestStream() object {
	return object{
		"name": "TASKS", "subjects": []string{"tasks.request"}, "retention": "workqueue", "storage": "file", "discard": "new", "max_age": 0,
		"duplicate_window": 2 * time.Minute,
	}
}

func resultStream() object {
	return object{
		"name": "TASK_RESULTS", "subjects": []string{"tasks.result"}, "retention": "limits", "storage": "file", "max_age": streams.ResultsAge,
		"duplicate_window": streams.DuplicateWindow,
	}
}

func deadStream() object {
	return object{
		"name": "TASK_DEAD", "subjects": []string{"tasks.dead"}, "retention": "limits", "storage": "file", "max_age": streams.DeadAge,
		"duplicate_window": streams.DuplicateWindow,
	}
}

// bucketStream is the stream of a KV bucket.
func bucketStream(bucket string, maxAge time.Duration) object {
	return object{
		"name": "KV_" + bucket, "subjects": []string{"$KV." + bucket + ".>"}, "retention": "limits", "storage": "file", "max_age": maxAge,
		"max_msgs_per_subject": 1, "allow_direct": false,
	}
}

// allChannels returns the channels in the order in which a task meets them.
func allChannels() []channel {
	records, control := bucketStream("task_tracker", 0), bucketStream("task_control", 7*24*time.Hour)
	key := func(name, address, message, operation, action, description string) channel {
		return channel{name, "$KV.task_control." + address, message, description, control, operation, action}
	}
	return []channel{
		{"requests", "tasks.request", "request", "Task requests. A work queue: a request stays here until its event is stored.", requestStream(), "runTask", "receive"},
		{
			"records", "$KV.task_tracker.{task_id}", "record", "The state of each task, in the KV bucket task_tracker under its id. Watch it to follow tasks; only workers write it.",
			records, "recordState", "send",
		},
		{
			"results", "tasks.result", "event", "The events of tasks: one per task, and a copy with Capstan-Replay if its request was published again.",
			resultStream(), "publishEvent", "send",
		},
		{"deadLetters", "tasks.dead", "deadLetter", "The requests of tasks that failed.", deadStream(), "keepRequest", "send"},
		key("cancel", "cancel.{task_id}", "cancel", "cancelTask", "receive", "Cancels a task: the key cancel.<task_id> in the KV bucket task_control."),
		key("cancelBatch", "cancel-batch.{batch}", "cancel", "cancelBatch", "receive", "Cancels the tasks of a batch, also those that are submitted later: the key cancel-batch.<batch> in the KV bucket task_control."),
		key("pause", "pause", "pause", "pauseSubmissions", "receive", "Pauses the submissions of all workers: the key pause in the KV bucket task_control."),
		key("limits", "limits", "limits", "shareLimit", "send", "How many tasks all workers together may hold. Workers only."),
		key("starts", "starts", "starts", "shareStarts", "send", "How many submissions the API still accepts. Workers only."),
		key("pace", "pace.{kind}", "pace", "shareRunTimes", "send", "What was learned of the run times of a kind of tasks. Workers only."),
	}
}

// parameters describes the parts of addresses that vary.
func parameters() map[string]string {
	return map[string]string{
		"task_id": "The id of the task.",
		"batch":   "The name of the batch.",
		"kind":    "Agent, model and rough number of steps, encoded. Only workers make it.",
	}
}

// channels returns the part of the document that says where messages are.
func channels() object {
	all := object{}
	for _, each := range allChannels() {
		described := object{
			"address": each.address, "description": each.description, "x-jetstream": each.stream,
			"messages": object{each.message: object{"$ref": "#/components/messages/" + each.message}},
		}
		for name, description := range parameters() {
			if strings.Contains(each.address, "{"+name+"}") {
				described["parameters"] = object{name: object{"description": description}}
			}
		}
		all[each.name] = described
	}
	return all
}

// operations returns the part of the document that says what the worker does.
func operations() object {
	all := object{}
	for _, each := range allChannels() {
		place := "#/channels/" + each.name
		all[each.operation] = object{
			"action": each.action, "channel": object{"$ref": place}, "messages": []object{{"$ref": place + "/messages/" + each.message}},
		}
	}
	return all
}
