package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var names = control.Config{Bucket: "task_control"}

func always() bool { return true }

// open returns two workers' views of one bucket, and the bucket itself.
func open(t *testing.T, ttl time.Duration) (a, b *control.Bucket, kv jetstream.KeyValue) {
	t.Helper()
	server := natstest.Start(t)
	_, js := server.Connect()
	_, other := server.Connect()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: names.Bucket, LimitMarkerTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return control.New(js, names, ttl, always), control.New(other, names, ttl, always), kv
}

func mustPut(t *testing.T, b *control.Bucket, key, value string, revision uint64) {
	t.Helper()
	if err := b.Put(t.Context(), key, []byte(value), revision); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteOverAnotherWorkersIsAConflict(t *testing.T) {
	a, b, _ := open(t, time.Hour)
	mustPut(t, a, "pace.x", "1", 0)
	if err := b.Put(t.Context(), "pace.x", []byte("2"), 0); !errors.Is(err, task.ErrConflict) {
		t.Errorf("first write of a key that exists: got %v, want ErrConflict", err)
	}
	_, revision, err := b.Get(t.Context(), "pace.x")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, b, "pace.x", "2", revision)
	if err := a.Put(t.Context(), "pace.x", []byte("3"), revision); !errors.Is(err, task.ErrConflict) {
		t.Errorf("write over an older revision: got %v, want ErrConflict", err)
	}
	if value, _, err := a.Get(t.Context(), "pace.x"); string(value) != "2" || err != nil {
		t.Errorf("got %q, %v, want 2", value, err)
	}
}

// An operator may delete a key: the workers start over.
func TestADeletedKeyCanBeWrittenAgain(t *testing.T) {
	a, _, kv := open(t, time.Hour)
	mustPut(t, a, "pace.x", "1", 0)
	if err := kv.Delete(t.Context(), "pace.x"); err != nil {
		t.Fatal(err)
	}
	value, revision, err := a.Get(t.Context(), "pace.x")
	if value != nil || revision != 0 || err != nil {
		t.Errorf("got %q, revision %d, %v, want none", value, revision, err)
	}
	mustPut(t, a, "pace.x", "2", 0)
}

func TestValuesExpire(t *testing.T) {
	a, _, _ := open(t, time.Second)
	mustPut(t, a, "created", "1", 0)
	_, revision, err := a.Get(t.Context(), "created")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, a, "created", "2", revision) // an update has a time to live as well
	natstest.Eventually(t, func() error {
		if value, _, err := a.Get(t.Context(), "created"); value != nil || err != nil {
			return errors.New("still there")
		}
		return nil
	})
}

// The bucket may be created, deleted and created again while workers run.
func TestABucketThatComesAndGoesIsUsedAgain(t *testing.T) {
	server := natstest.Start(t)
	_, js := server.Connect()
	b := control.New(js, names, time.Hour, always)
	for range 2 {
		if _, _, err := b.Get(t.Context(), "pace.x"); err == nil {
			t.Error("got no error without a bucket, want one")
		}
		if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil {
			t.Error("got no error without a bucket, want one")
		}
		if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: names.Bucket, LimitMarkerTTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		mustPut(t, b, "pace.x", "1", 0)
		if err := js.DeleteKeyValue(t.Context(), names.Bucket); err != nil {
			t.Fatal(err)
		}
	}
}

// A call does not wait for NATS to come back.
func TestACallIsBounded(t *testing.T) {
	server := natstest.Start(t)
	_, js := server.Connect()
	b := control.New(js, names, time.Hour, always)
	server.Stop()
	began := time.Now()
	if _, _, err := b.Get(t.Context(), "pace.x"); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v, want an error after two seconds", err, time.Since(began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Get(ctx, "pace.x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ctx's error", err)
	}
}

// The bucket of another application is neither read nor written.
func TestABucketThatIsNotCapstansIsLeftAlone(t *testing.T) {
	server := natstest.Start(t)
	_, js := server.Connect()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: names.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	b := control.New(js, names, time.Hour, func() bool { return false })
	if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil {
		t.Error("got no error, want one")
	}
	if _, _, err := b.Get(t.Context(), "pace.x"); err == nil {
		t.Error("got no error, want one")
	}
	if _, err := kv.Get(t.Context(), "pace.x"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("got %v, want an empty bucket", err)
	}
}
