package streams_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/streams"
)

// A missing permission is logged once a minute, and forgotten 90 s after it was last missed.
func TestAMissingPermissionMakesAWorkerUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := defaults()
		var log strings.Builder
		d := streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.New(&log))
		violation := fmt.Errorf(`%w: Permissions Violation for Publish to "$KV.task_tracker.ord-1"`, nats.ErrPermissionViolation)
		for range 3 {
			if !d.Note(violation) {
				t.Fatal("the violation was not handled")
			}
		}
		if n := strings.Count(log.String(), "NATS reported permission violation"); n != 1 {
			t.Errorf("got %d lines, want 1", n)
		}
		if ready, says := d.Ready(); ready || !strings.Contains(says, `missing permission: publish to "$KV.task_tracker.>"`) {
			t.Errorf("got %v, %q, want the permission", ready, says)
		}
		<-time.After(time.Second)
		d.Note(fmt.Errorf(`%w: Permissions Violation for Subscription to "_INBOX.x.*" (sid "2")`, nats.ErrPermissionViolation))
		if _, says := d.Ready(); says != `missing permission: subscribe to "_INBOX.>" (and 1 more)` {
			t.Errorf("got %q, want the latest permission and the number of others", says)
		}
		<-time.After(91 * time.Second)
		if ready, says := d.Ready(); !ready {
			t.Errorf("after 91 s: got %q, want ready", says)
		}
		if d.Note(errors.New("slow consumer")) {
			t.Error("another error was handled")
		}
	})
}
