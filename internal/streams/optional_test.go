package streams_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/streams"
)

// A login that may not use the bucket gets no answer, and a check that waited for one would delay the repair of records.
func TestACheckDoesNotAskAboutTheBucketThatWorkersCanDoWithout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := make(chan *nats.Msg, 100)
	for _, subject := range []string{"$JS.API.*.*.KV_task_control", "$JS.API.*.*.KV_task_control.>", "$KV.task_control.>"} {
		if _, err := w.nc.ChanSubscribe(subject, asked); err != nil {
			t.Fatal(err)
		}
	}
	w.provision(defaults())
	w.accepts(defaults())
	if err := w.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := len(asked); n != 0 {
		t.Errorf("got %d calls, the first to %s, want none", n, (<-asked).Subject)
	}
}

// denied is a worker's missing permissions after NATS has refused it to use each of these subjects.
func denied(cfg streams.Config, log *strings.Builder, violations ...string) *streams.PermissionViolations {
	d := streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.New(log))
	for _, v := range violations {
		d.Note(fmt.Errorf("%w: Permissions Violation for %s", nats.ErrPermissionViolation, v))
	}
	return d
}

// Whoever asks a worker chooses the subject of the answer: also one that looks as if a worker used it.
func TestDeniedRepliesAreOneWarning(t *testing.T) {
	t.Parallel()
	replies := []string{
		"_INBOX.x.1", "_INBOX_operator.1", "anything", "tasks.request", "$JS.API.STREAM.CREATE.TASKS", "$JS.API.STREAM.DELETE.TASKS",
		"$KV.other.a", "$JS.API.CONSUMER.CREATE.TASKS.worker.x", "$JS.API.STREAM.NAMES", `quoted \"x`, "KV_task_control",
	}
	for i := range 1000 {
		replies = append(replies, fmt.Sprintf("$JS.API.STREAM.INFO.x%d", i), fmt.Sprintf("x%d.KV_task_control", i))
	}
	for i, subject := range replies {
		replies[i] = `Publish to "` + subject + `"`
	}
	var log strings.Builder
	cfg := defaults()
	cfg.NATS.Provision = false
	d := denied(cfg, &log, replies...)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `"level":"warn"`) || !strings.Contains(log.String(), "allow_responses") {
		t.Errorf("got %d lines, the first %.500s, want one warning that says what to grant", n, log.String())
	}
	if n := d.Entries(); n != 1 {
		t.Errorf("got %d entries, want 1", n)
	}
	if ready, says := d.Ready(); !ready {
		t.Errorf("got %q, want ready", says)
	}
}

// What a worker publishes to when it provisions is not taken for a reply, also if it has a domain. The change of the
// consumer is optional: if the consumer is missing, the check of the streams says so.
func TestADeniedCreationMakesAWorkerUnready(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	for _, domain := range []string{"", "hub"} {
		cfg.NATS.JSDomain = domain
		for _, call := range []string{
			"STREAM.CREATE.TASKS", "STREAM.UPDATE.KV_task_tracker", "CONSUMER.CREATE.TASKS.worker",
		} {
			subject := cfg.API(call)
			if ready, says := denied(cfg, &strings.Builder{}, `Publish to "`+subject+`"`).Ready(); ready || !strings.Contains(says, subject) {
				t.Errorf("%s: got %v, %q, want a worker that is not ready", subject, ready, says)
			}
		}
	}
}

// The bucket that workers share and their service are optional, at a leaf node as well.
func TestOptionalPermissionsAreWarnings(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	for _, domain := range []string{"", "hub"} {
		cfg.NATS.JSDomain = domain
		var violations []string
		for _, subject := range []string{
			cfg.API("STREAM.INFO.KV_task_control"), cfg.API("STREAM.CREATE.KV_task_control"), cfg.API("STREAM.MSG.GET.KV_task_control"),
			cfg.ControlWriteSubject("pace.x"), "$KV.task_control.pace.x", "$JS.API.STREAM.INFO.KV_task_control",
			cfg.API("STREAM.UPDATE.KV_task_control"), cfg.API("CONSUMER.CREATE.KV_task_control.x"), "$JS.API.CONSUMER.CREATE.KV_task_control.x",
			cfg.API("CONSUMER.MSG.NEXT.KV_task_control.x"), cfg.API("CONSUMER.DELETE.KV_task_control.x"),
			cfg.LimitSubject(), jet.StatusSubject,
		} {
			violations = append(violations, `Publish to "`+subject+`"`)
		}
		for _, subject := range []string{"$SRV.PING", "$SRV.INFO.capstan-worker", "$SRV.STATS.capstan-worker.x", "capstan.worker.status", "capstan.worker.task"} {
			violations = append(violations, `Subscription to "`+subject+`" (sid "7")`)
		}
		var log strings.Builder
		d := denied(cfg, &log, violations...)
		if ready, says := d.Ready(); !ready {
			t.Errorf("domain %q: got %q, want ready", domain, says)
		}
		if n := strings.Count(log.String(), "\n"); n == 0 || n != strings.Count(log.String(), `"level":"warn"`) {
			t.Errorf("domain %q: got the log\n%s\nwant warnings", domain, log.String())
		}
	}
}
