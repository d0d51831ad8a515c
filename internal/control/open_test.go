package control_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestAMissingBucketIsCreatedOnlyWithProvision(t *testing.T) {
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
		!got.AllowRollup || !got.DenyDelete || got.Discard != jetstream.DiscardNew || got.Replicas != 1 || got.Metadata["capstan"] != "control" {
		t.Errorf("got %+v", got)
	}
	if _, err := js.KeyValue(t.Context(), names.Bucket); err != nil {
		t.Errorf("a user's tool opens it: %v", err)
	}
}

// What another application made under the name is left exactly as it is, and so is a bucket that could be read from a
// replica that lags.
func TestABucketThatCannotBeUsedIsLeftAlone(t *testing.T) {
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
