package operator_test

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

var why = task.Cancellation{Reason: "wrong customer", By: "ada", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

// marks returns the keys of the control bucket, with their values and times to live.
func (s *site) marks() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, msg := range s.Stored("KV_task_control") {
		all[strings.TrimPrefix(msg.Subject, "$KV.task_control.")] = string(msg.Data) + " " + msg.Header.Get(jetstream.MsgTTLHeader)
	}
	return all
}
