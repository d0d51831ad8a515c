package control_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestAMissingBucketIsCreatedOnlyWithProvision(t *testing.T) {
	t.Parallel()
	_, js := natstest.Start(t).Connect()
	b := bound(js)
	if _, _, err := b.Get(t.Context(), "pace.x"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("got %v, want ErrStreamNotFound", err)
	}
	if _, _, err := worker(js, time.Hour).Get(t.Context(), "pace.x"); err != nil {
		t.Fatal(err)
	}
	got := config(t, js)
	if got.Retention != jetstream.LimitsPolicy || got.MaxMsgsPerSubject != 1 || !got.AllowMsgTTL || got.AllowDirect ||
		!got.AllowRollup || !got.DenyDelete || got.Discard != jetstream.DiscardNew || got.Replicas != 1 || got.Metadata["capstan"] != "control" || got.MaxAge != time.Hour {
		t.Errorf("got %+v", got)
	}
	if _, err := js.KeyValue(t.Context(), names.Bucket); err != nil {
		t.Errorf("a user's tool opens it: %v", err)
	}
}

// What another application made under the name is left exactly as it is, and so is a bucket that could be read from a
// replica that lags.
func TestABucketThatCannotBeUsedIsLeftAlone(t *testing.T) {
	t.Parallel()
	const theirs = "belongs to another application"
	own := func(edit func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		cfg := jetstream.StreamConfig{
			Name: names.Stream(), Subjects: []string{names.Subjects()}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowRollup: true,
			Metadata: map[string]string{"capstan": "control"},
		}
		edit(&cfg)
		return cfg
	}
	for name, c := range map[string]struct {
		cfg  jetstream.StreamConfig
		says string
	}{
		"a bucket without TTL":   {own(func(c *jetstream.StreamConfig) { c.AllowMsgTTL, c.Metadata = false, nil }), theirs},
		"another kind of stream": {jetstream.StreamConfig{Name: names.Stream(), Subjects: []string{"theirs"}, Retention: jetstream.WorkQueuePolicy}, theirs},
		"another purpose":        {own(func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"capstan": "records"} }), theirs},
		"more subjects":          {own(func(c *jetstream.StreamConfig) { c.Subjects, c.Metadata = append(c.Subjects, "theirs"), nil }), theirs},
		"direct reads":           {own(func(c *jetstream.StreamConfig) { c.AllowDirect = true }), "cannot be used: direct reads must be off"},
		"own, without TTL":       {own(func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false }), "cannot be used: message TTL must be allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, js := natstest.Start(t).Connect()
			natstest.Stream(t, js, c.cfg)
			before := config(t, js)
			changes := asked(t, nc, "$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.UPDATE.>", "$JS.API.STREAM.DELETE.>", "$KV.>")
			b := worker(js, time.Hour)
			b.SetPause(0)
			if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if _, _, err := b.Get(t.Context(), "pace.x"); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if after := config(t, js); !reflect.DeepEqual(before, after) || changes() != 0 {
				t.Errorf("got %d changes\n%+v\nwant none\n%+v", changes(), after, before)
			}
		})
	}
}

// Operators write without a TTL. A bucket of an older version kept that for ever.
func TestAnOwnBucketIsMadeToForget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit   func(*jetstream.StreamConfig)
		create bool // the worker provisions
		want   time.Duration
	}{
		"own":                   {func(*jetstream.StreamConfig) {}, true, time.Minute},
		"own, provision off":    {func(*jetstream.StreamConfig) {}, false, 0},
		"own, with an age":      {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, true, time.Hour},
		"another application's": {func(c *jetstream.StreamConfig) { c.Metadata = nil }, true, 0},
		"another purpose":       {func(c *jetstream.StreamConfig) { c.Metadata["capstan"] = "records" }, true, 0},
		"cannot be used":        {func(c *jetstream.StreamConfig) { c.AllowDirect = true }, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, js := natstest.Start(t).Connect()
			cfg := jetstream.StreamConfig{
				Name: names.Stream(), Subjects: []string{names.Subjects()}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowRollup: true,
				Duplicates: 2 * time.Minute, Metadata: map[string]string{"capstan": "control", "team": "ours"},
			}
			c.edit(&cfg)
			natstest.Stream(t, js, cfg)
			before := config(t, js)
			b := bound(js)
			if c.create {
				b = worker(js, time.Minute)
			}
			b.Prepare(t.Context())
			after := config(t, js)
			if after.MaxAge != c.want {
				t.Errorf("got a maximum age of %v, want %v", after.MaxAge, c.want)
			}
			before.MaxAge, before.Duplicates = after.MaxAge, after.Duplicates
			if !reflect.DeepEqual(before, after) {
				t.Errorf("got\n%+v\nwant nothing else changed\n%+v", after, before)
			}
		})
	}
}

// A login that may not change the bucket goes on as before.
func TestABucketThatMayNotBeChangedIsUsed(t *testing.T) {
	t.Parallel()
	server, _ := guardedServer(t, "$JS.API.STREAM.UPDATE.KV_task_control")
	_, js := server.Connect(nats.UserInfo("a", "a"))
	natstest.Stream(t, js, jetstream.StreamConfig{
		Name: names.Stream(), Subjects: []string{names.Subjects()}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, Metadata: map[string]string{"capstan": "control"},
	})
	var log buffer
	var b *control.Bucket
	_, js = server.Connect(nats.UserInfo("w", "w"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.Note(err) }))
	b = control.New(names, control.Access{JetStream: func() jetstream.JetStream { return js }, Create: true, Replicas: 1, TTL: time.Hour}, zerolog.New(&log))
	b.Prepare(t.Context())
	mustPut(t, b, "pace.x", "1", 0)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "missing permission") {
		t.Errorf("got the log %q, want one warning", got)
	}
}
