package streams_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumerViolation is a change to the workers' consumer that hides requests from them or changes them.
type consumerViolation struct {
	name     string
	edit     func(*jetstream.ConsumerConfig)
	says     string
	repaired bool // by a worker with NATS_PROVISION
}

func consumerViolations() []consumerViolation {
	return []consumerViolation{
		{"headers only", func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }, "headers only must be off, or requests arrive without their body", true},
		{"small batches", func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 10 }, "max batch must be unlimited or at least 64: workers pull that many (got 10)", true},
		{"short pulls", func(c *jetstream.ConsumerConfig) { c.MaxRequestExpires = 100 * time.Millisecond }, "max expires must be unlimited or at least 500ms: pulls wait that long (got 100ms)", true},
		{"one waiting pull", func(c *jetstream.ConsumerConfig) { c.MaxWaiting = 1 }, "max waiting must be at least 512, or some workers' pulls are refused (got 1)", false},
		{"another lease", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }, "ack wait must be 1m0s, as set by ACK_WAIT (got 1h0m0s)", true},
		{"a backoff", func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{time.Second, time.Minute} }, "backoff must be empty", true},
		{"few deliveries", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, "max deliver must be -1", true},
		{"unlimited requests in progress", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }, "max ack pending must be 1 to 100000 (got -1)", true},
		{"priority groups", func(c *jetstream.ConsumerConfig) {
			c.PriorityPolicy, c.PriorityGroups = jetstream.PriorityPolicyOverflow, []string{"a"}
		}, "must have no priority groups", true},
		{"not durable", func(c *jetstream.ConsumerConfig) {
			c.Durable, c.Name, c.InactiveThreshold = "", "worker", time.Hour
		}, "must be durable", false},
	}
}

func TestConsumerSettingsThatHideRequestsAreReportedOrRepaired(t *testing.T) {
	t.Parallel()
	for _, v := range consumerViolations() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cfg := defaults()
			w.provision(cfg)
			w.replaceConsumer(v.edit)
			binds := cfg
			binds.NATS.Provision = false
			w.refuses(binds, "consumer worker: "+v.says)
			if level, found := map[bool]string{true: "warning: ", false: "fatal: "}[v.repaired], w.dryRun(cfg); !containsLine(found, level, v.says) {
				t.Errorf("a dry run: got\n%s\nwant a line %q with %q", found, level, v.says)
			}
			if v.repaired {
				w.accepts(cfg, "bound")
				w.accepts(binds, "bound")
			} else {
				w.refuses(cfg, v.says)
			}
		})
	}
}

// Settings that were tried and do no harm must not stop a worker.
func TestAnOperatorMayChooseHarmlessSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	for name, edit := range map[string]func(*jetstream.ConsumerConfig){
		"max bytes":         func(c *jetstream.ConsumerConfig) { c.MaxRequestMaxBytes = 1 << 20 },
		"deleted when idle": func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Hour },
		"memory":            func(c *jetstream.ConsumerConfig) { c.MemoryStorage = true },
		"replay original":   func(c *jetstream.ConsumerConfig) { c.ReplayPolicy = jetstream.ReplayOriginalPolicy },
		"two filters": func(c *jetstream.ConsumerConfig) {
			c.FilterSubject, c.FilterSubjects = "", []string{"tasks.request", "x"}
		},
		"no filter": func(c *jetstream.ConsumerConfig) { c.FilterSubject, c.FilterSubjects = "", nil },
	} {
		w.replaceConsumer(edit)
		if ready, says := w.readyz(cfg); !ready || says != "bound" {
			t.Errorf("%s: got %v, %q, want bound", name, ready, says)
		}
	}
}

func TestAPausedConsumerIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	if _, err := w.js.PauseConsumer(t.Context(), "TASKS", "worker", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.accepts(cfg, "consumer worker: should not be paused: no requests are delivered (got paused until ")
}

// The value is the consumer's. Workers lower it to what the plan runs at once; one above the setting is reported.
func TestAHigherMaxAckPendingIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	binds := cfg
	binds.NATS.Provision, binds.MaxAckPending = false, 200
	w.accepts(binds, "max ack pending is above MAX_IN_FLIGHT_TOTAL, 200: the consumer's value applies (got 10000)")
	repairs := cfg
	repairs.MaxAckPending = 200
	w.accepts(repairs, "bound")
	if got := w.consumer().Config.MaxAckPending; got != 200 {
		t.Errorf("with provision: got %d, want 200", got)
	}
	// A lower value is what the workers have learned, and stays.
	auto := cfg
	auto.MaxAckPending = 0
	w.accepts(cfg, "bound")
	w.accepts(auto, "bound")
	if got := w.consumer().Config.MaxAckPending; got != 200 {
		t.Errorf("got %d, want 200", got)
	}
}

func TestASubjectTransformThatHidesRequestsIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	transform := &jetstream.SubjectTransformConfig{Source: "tasks.request", Destination: "tasks.request.{{random(4)}}"}
	w.create(jetstream.StreamConfig{
		Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, SubjectTransform: transform,
	})
	const says = "consumer worker: filter must match what the stream stores (got stored as tasks.request.*, filtered by tasks.request)"
	w.refuses(cfg, says)
	// An operator may create a consumer of one partition or of all.
	for _, filter := range []string{"tasks.request.2", "tasks.request.*"} {
		if _, err := w.js.CreateConsumer(t.Context(), "TASKS", jetstream.ConsumerConfig{
			Durable: "worker", FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 10000,
		}); err != nil {
			t.Fatal(err)
		}
		binds := cfg
		binds.NATS.Provision = false
		w.accepts(binds, "bound")
		w.accepts(cfg, "bound")
		if got := w.consumer().Config.FilterSubject; got != filter {
			t.Errorf("filter: got %s, want the operator's %s", got, filter)
		}
		if err := w.js.DeleteConsumer(t.Context(), "TASKS", "worker"); err != nil {
			t.Fatal(err)
		}
	}
	// The transform is set after the worker has created its consumer.
	w.change("TASKS", func(c *jetstream.StreamConfig) { c.SubjectTransform = nil })
	w.provision(cfg)
	w.change("TASKS", func(c *jetstream.StreamConfig) { c.SubjectTransform = transform })
	w.refuses(cfg, says)
}

func TestAStreamFedBySourcesIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.create(jetstream.StreamConfig{Name: "INBOX", Subjects: []string{"inbox.*"}})
	w.create(jetstream.StreamConfig{
		Name: "TASKS", Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		Sources: []*jetstream.StreamSource{{Name: "INBOX", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "inbox.web", Destination: "tasks.request"}}}},
	})
	w.accepts(cfg, "bound")
	if got := w.stream("TASKS").Config.Subjects; len(got) != 0 {
		t.Errorf("subjects: got %v, want none, as before", got)
	}
}
