package streams_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A lost bucket must be noticed within seconds: a worker that runs a task must write its record again before another
// worker finds none.
func TestLostRecordsAreNoticedSoon(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *world){
		"deleted": func(w *world) {
			if err := w.js.DeleteStream(w.t.Context(), "KV_task_tracker"); err != nil {
				w.t.Fatal(err)
			}
		},
		"recreated": func(w *world) { w.replace("KV_task_tracker", func(*jetstream.StreamConfig) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.provision(defaults())
			ctx, stop := context.WithCancel(t.Context())
			var watch sync.WaitGroup
			watch.Go(func() { b.WatchRecords(ctx) })
			defer watch.Wait()
			defer stop()
			lose(w)
			select {
			case <-b.Recreated():
			case <-time.After(10 * time.Second):
				t.Error("got no notice within 10 s")
			}
			if w.stream("KV_task_tracker").Created.IsZero() {
				t.Error("the bucket was not recreated")
			}
		})
	}
}
