package control_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAWriteOverAnotherWorkersIsAConflict(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// A replicated stream has a code of its own for a conflict, when another write is under way (10164). Its stand-in is a
// server without JetStream, and a program that answers for it.
func TestBothCodesOfAConflictAreOne(t *testing.T) {
	t.Parallel()
	url := natstest.Run(t, &server.Options{}).ClientURL()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	answer := func(subject, text string) {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(text)) }); err != nil {
			t.Fatal(err)
		}
	}
	answer("$JS.API.STREAM.INFO.KV_task_control", `{"config":{"name":"KV_task_control","subjects":["$KV.task_control.>"],"allow_msg_ttl":true}}`)
	answer("$JS.API.STREAM.MSG.GET.KV_task_control", `{"message":{"seq":7,"subject":"$KV.task_control.x","time":"2026-01-02T03:04:05Z"}}`)
	for _, code := range []int{10071, 10164} {
		answer(fmt.Sprintf("$KV.task_control.%d", code), fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":"wrong last sequence"}}`, code))
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	b := worker(js, time.Hour)
	for _, code := range []string{"10071", "10164"} {
		for _, revision := range []uint64{0, 7} {
			if err := b.Put(t.Context(), code, nil, revision); !errors.Is(err, task.ErrConflict) {
				t.Errorf("%s over revision %d: got %v, want ErrConflict", code, revision, err)
			}
		}
	}
}

// The bucket may be deleted and created again while workers run.
func TestABucketThatComesAndGoesIsUsedAgain(t *testing.T) {
	t.Parallel()
	_, js := natstest.Start(t).Connect()
	b := bound(js)
	b.SetPause(0)
	for range 2 {
		if _, _, err := b.Get(t.Context(), "pace.x"); err == nil {
			t.Error("got no error without a bucket, want one")
		}
		if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil {
			t.Error("got no error without a bucket, want one")
		}
		mustPut(t, worker(js, time.Hour), "pace.y", "1", 0)
		mustPut(t, b, "pace.x", "1", 0)
		if err := js.DeleteStream(t.Context(), names.Stream()); err != nil {
			t.Fatal(err)
		}
	}
}

// One failure must not cost the workers half a minute.
func TestABucketIsUsedAgainSoonAfterAFailure(t *testing.T) {
	t.Parallel()
	_, js := natstest.Start(t).Connect()
	b := bound(js)
	if _, _, err := b.Get(t.Context(), "pace.x"); err == nil {
		t.Fatal("got no error without a bucket, want one")
	}
	began := time.Now()
	mustPut(t, worker(js, time.Hour), "pace.x", "1", 0)
	natstest.Eventually(t, func() error {
		_, _, err := b.Get(t.Context(), "pace.x")
		return err
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("got its value after %v, want about a second", took)
	}
}

// A call does not wait for NATS to come back.
func TestACallIsBounded(t *testing.T) {
	t.Parallel()
	running := natstest.Start(t)
	_, js := running.Connect()
	b := worker(js, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Get(ctx, "pace.x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ctx's error", err)
	}
	mustPut(t, b, "pace.x", "1", 0) // a caller that gave up says nothing about the bucket
	running.Stop()
	began := time.Now()
	if _, _, err := b.Get(t.Context(), "pace.x"); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v, want an error after two seconds", err, time.Since(began))
	}
}

// A login that may not use the bucket gets no answer. Only the first call waits for it, however many there are.
func TestCallsFailAtOnceAfterAFailure(t *testing.T) {
	t.Parallel()
	url := natstest.Run(t, &server.Options{}).ClientURL()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	asked := asked(t, nc, "$JS.API.>", "$KV.>") // and never answered
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	b := logging(js, &log)
	began := time.Now()
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, _, err := b.Get(t.Context(), "pace.x"); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
	callers.Wait()
	err = b.Put(t.Context(), "pace.x", nil, 0)
	if err == nil || !strings.Contains(err.Error(), "could not be used a moment ago") {
		t.Errorf("got %v, want a call that was not made", err)
	}
	if took, n := time.Since(began), asked(); took > 10*time.Second || n != 1 {
		t.Errorf("got %d calls of NATS in %v, want one of two seconds", n, took)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "no answer") {
		t.Errorf("got the log %q, want one line that says why", log.String())
	}
}

// A full bucket can be read. That must not hide how often it could not be written, nor let each refusal be logged.
func TestARefusedWriteIsLoggedOnceThoughReadsSucceed(t *testing.T) {
	t.Parallel()
	_, js := natstest.Start(t).Connect()
	mustPut(t, worker(js, time.Hour), "any", "1", 0)
	cfg := config(t, js)
	cfg.MaxMsgs = 1
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	b := logging(js, &log)
	b.SetPause(0)
	for range 5 {
		if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil {
			t.Fatal("a full bucket has taken a value")
		}
		if _, _, err := b.Get(t.Context(), "any"); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "control bucket unusable"); n != 1 {
		t.Errorf("got %d lines, want one:\n%s", n, log.String())
	}
	b.SetPause(time.Hour)
	if err := b.Put(t.Context(), "pace.x", []byte("1"), 0); err == nil {
		t.Fatal("a full bucket has taken a value")
	}
	if _, _, err := b.Get(t.Context(), "any"); err != nil {
		t.Errorf("got %v after a refused write, want the value", err)
	}
}

// NATS reports a denied call apart from it, and the call gets no answer. A drain must not wait for one.
func TestADeniedCallEndsAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `accounts { A { jetstream: enabled, users: [{ user: a, password: a }, { user: w, password: w, permissions: { publish: { deny: [%q] } } }] } }`
	for _, denied := range []string{"$JS.API.STREAM.INFO.KV_task_control", "$JS.API.STREAM.CREATE.KV_task_control", "$KV.task_control.>"} {
		if err := os.WriteFile(file, fmt.Appendf(nil, conf, denied), 0o600); err != nil {
			t.Fatal(err)
		}
		var b *control.Bucket
		_, js := natstest.StartWith(t, natsserver.Config{File: file}).Connect(nats.UserInfo("w", "w"), nats.ErrorHandler(
			func(_ *nats.Conn, _ *nats.Subscription, err error) { b.Note(err) }))
		b = worker(js, time.Hour)
		began := time.Now()
		err := b.Put(t.Context(), "pace.x", nil, 0)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "missing permission") || took > 1500*time.Millisecond {
			t.Errorf("%s: got %v after %v, want a missing permission at once", denied, err, took)
		}
	}
}

// A login may lack what only a watch or a change of the bucket needs. That must not disturb what workers share.
func TestADenialOfAnotherKindEndsNoCall(t *testing.T) {
	t.Parallel()
	url := natstest.Run(t, &server.Options{}).ClientURL()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var b *control.Bucket
	if _, err := nc.Subscribe("$JS.API.STREAM.INFO.KV_task_control", func(*nats.Msg) { // and never answered
		for _, call := range []string{"CONSUMER.CREATE.KV_task_control.x", "STREAM.UPDATE.KV_task_control"} {
			b.Note(fmt.Errorf(`%w: Permissions Violation for Publish to "$JS.API.%s"`, nats.ErrPermissionViolation, call))
		}
	}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	b = bound(js)
	if _, _, err := b.Get(t.Context(), "pace.x"); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v, want no answer", err)
	}
}
