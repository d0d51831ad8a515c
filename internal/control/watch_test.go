package control_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// While NATS is away, the last known state counts; after it, what the bucket says.
func TestAnOutageOfNATSChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.put("cancel.a", "")
	s.put("cancel.gone", "")
	s.put("pause", "x")
	s.run()
	s.eventually("a", "", true)
	s.tells("paused: x")
	s.server.Stop()
	for _, id := range []string{"a", "gone"} {
		s.eventually(id, "", true)
	}
	if _, paused := s.Paused(); !paused {
		t.Error("got no pause while NATS is away, want the last known one")
	}
	ctx, stop := s.Until(t.Context(), "b", "")
	defer stop(nil)
	s.server.Restart()
	removed, err := s.js.Stream(t.Context(), names.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if err := removed.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.task_control.cancel.gone")); err != nil {
		t.Fatal(err)
	}
	s.put("cancel.b", "")
	s.ends(ctx)
	s.eventually("gone", "", false)
	s.eventually("a", "", true)
	if err := s.kv.Delete(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	s.tells("resumed")
	if strings.Contains(s.log.String(), `"level":"warn"`) {
		t.Errorf("got\n%s\nwant no warning about what the connection reports", s.log)
	}
}

// What a client misses while it is disconnected, no gap shows.
func TestAMarkThatIsPutDuringAReconnectIsNotMissed(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	for i := range 5 {
		id := fmt.Sprint(i)
		ctx, stop := s.Until(t.Context(), id, "")
		if err := s.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		s.put("cancel."+id, "")
		s.ends(ctx)
		stop(nil)
	}
}

// The keys of a bucket that was recreated start over, and the marks of the old one are gone with it.
func TestARecreatedBucketStartsOver(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	for range 10 {
		s.put("cancel.a", "")
	}
	s.put("pause", "x")
	s.run()
	s.eventually("a", "", true)
	s.tells("paused: x")
	if err := s.js.DeleteStream(t.Context(), names.Stream()); err != nil {
		t.Fatal(err)
	}
	s.eventually("a", "", false)
	s.tells("resumed")
	worker(s.js, time.Hour).Prepare(t.Context())
	s.put("pause", "y")
	s.tells("paused: y")
	s.put("cancel.b", "")
	s.eventually("b", "", true)
	s.logged("cancellations and pauses not watched", 2) // the consumer is gone, and then the bucket
}

// A login may be older than the watch. Then nothing is canceled, and what workers share in the bucket is not disturbed.
func TestWithoutAPermissionNothingIsCanceled(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string]string{
		"create": "$JS.API.CONSUMER.CREATE.KV_task_control.>",
		"next":   "$JS.API.CONSUMER.MSG.NEXT.KV_task_control.>",
		"read":   "$JS.API.STREAM.MSG.GET.KV_task_control",
		"info":   "$JS.API.STREAM.INFO.KV_task_control",
	} {
		t.Run(name, func(t *testing.T) {
			server, grant := guardedServer(t, denied)
			_, operator := server.Connect(nats.UserInfo("a", "a"))
			worker(operator, time.Hour).Prepare(t.Context())
			kv, err := operator.KeyValue(t.Context(), names.Bucket)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kv.Put(t.Context(), "cancel.a", nil); err != nil {
				t.Fatal(err)
			}
			s := steer(t, server, time.Hour, nats.UserInfo("w", "w"))
			s.run()
			if _, canceled := s.Canceled(t.Context(), "a", ""); canceled {
				t.Error("got a task canceled, want none without the permission")
			}
			s.logged("cancellations and pauses not watched", 1)
			s.logged("control bucket unusable", 0)
			grant()
			s.eventually("a", "", true)
		})
	}
}

// guardedServer lets the user "w" publish to all but a subject, until grant is called, and the user "a" to all.
func guardedServer(t *testing.T, denied string) (_ *natstest.Server, grant func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(denied string) {
		conf := fmt.Sprintf(`accounts { A { jetstream: enabled, users: [
			{ user: a, password: a }, { user: w, password: w, permissions: { publish: { deny: [%q] } } }
		] } }`, denied)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(denied)
	server := natstest.StartWith(t, natsserver.Config{File: file})
	return server, func() {
		t.Helper()
		write("none")
		if err := server.Reload(); err != nil {
			t.Fatal(err)
		}
	}
}

// The worker's own work needs the subscriptions more.
func TestAWatchEndsWhereSubscriptionsAreScarce(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.Canceled(t.Context(), "a", "")
	s.put("cancel.a", "")
	s.eventually("a", "", true)
	if s.Note(nats.ErrBadSubscription) {
		t.Error("got another error handled")
	}
	if !s.Note(nats.ErrMaxSubscriptionsExceeded) {
		t.Error("got an error about the limit that was not handled")
	}
	s.logged("NATS allows no more subscriptions", 1)
	natstest.Eventually(t, func() error {
		if n := s.consumers(); n != 0 {
			return fmt.Errorf("got %d consumers, want none", n)
		}
		return nil
	})
	s.eventually("a", "", true) // the last known state counts
	if s.Note(nats.ErrMaxSubscriptionsExceeded) {
		t.Error("got an error handled without a watch")
	}
}

// The first look after a reconnect takes a while if there are many marks. Until then the bucket itself is asked.
func TestAMarkFromBeforeAReconnectIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	for i := range 5000 {
		if _, err := s.js.PublishAsync(fmt.Sprintf("$KV.%s.cancel.many-%d", names.Bucket, i), nil, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-s.js.PublishAsyncComplete()
	s.run()
	s.eventually("many-4999", "", true)
	before := s.nc.Stats().Reconnects
	s.put("cancel.late", "")
	s.eventually("late", "", true)
	s.Forget("late") // as if it had been stored while the connection was lost
	if err := s.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	for s.nc.Stats().Reconnects == before || !s.nc.IsConnected() {
		runtime.Gosched()
	}
	if _, canceled := s.Canceled(t.Context(), "late", ""); !canceled {
		t.Error("got a task that is not canceled right after a reconnect")
	}
}

// The server may lose the consumer of a watch without a break of the connection. Until the watch is made again, the bucket
// itself is asked.
func TestAMarkIsKnownThoughTheWatchHasEnded(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.put("cancel.first", "")
	s.eventually("first", "", true)
	stream, err := s.js.Stream(t.Context(), names.Stream())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	s.logged("cancellations and pauses not watched", 1)
	s.put("cancel.second", "")
	if _, canceled := s.Canceled(t.Context(), "second", ""); !canceled {
		t.Error("got a task that is not canceled while there is no watch")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("got the end of the watch after %v", took)
	}
}
