package steer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

var why = task.Cancellation{Reason: "wrong customer", By: "ada", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

// site is a queue, and what its tests read from it.
type site struct {
	*operatortest.Site
	t *testing.T
}

// newSite returns a site with all streams and buckets but those whose streams are named.
func newSite(t *testing.T, without ...string) *site {
	t.Helper()
	return &site{operatortest.Start(t, without...), t}
}

// publishBatch publishes n requests of a batch: night-0, night-1 and so on.
func (s *site) publishBatch(name string, n int) {
	s.t.Helper()
	s.Fill(n, func(int) string { return "tasks.request" }, func(i int) []byte {
		return []byte(operatortest.Request(fmt.Sprint(name, "-", i), fmt.Sprintf(`"batch":%q`, name)))
	})
}

// marks returns the keys of the control bucket, with their values and times to live.
func (s *site) marks() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, msg := range s.Stored("KV_task_control") {
		all[strings.TrimPrefix(msg.Subject, "$KV.task_control.")] = string(msg.Data) + " " + msg.Header.Get(jetstream.MsgTTLHeader)
	}
	return all
}
