package consumer_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/consumer"
)

// silentStream is a stream whose server does not answer before the test ends the call.
type silentStream struct {
	jetstream.Stream
	created      time.Time
	asked        atomic.Int32
	reached, end chan struct{}
}

func (s *silentStream) CachedInfo() *jetstream.StreamInfo {
	return &jetstream.StreamInfo{Created: s.created}
}

func (s *silentStream) Info(context.Context, ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	if s.asked.Add(1) == 1 {
		close(s.reached)
	}
	<-s.end
	return nil, errors.New("no answer")
}

// A worker whose link stalls releases many requests at once. They must not wait for an answer each.
func TestManyRequestsWaitForOneAnswerAboutTheirStream(t *testing.T) {
	t.Parallel()
	const callers = 100
	stream := &silentStream{created: time.Now(), reached: make(chan struct{}), end: make(chan struct{})}
	requests := consumer.NewRequests(stream, prometheus.NewRegistry(), zerolog.Nop())
	requests.Invalidate()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if got := requests.Created(t.Context()); !got.Equal(stream.created) {
				t.Errorf("got %v, want the last answer %v", got, stream.created)
			}
		})
	}
	<-stream.reached
	if got := requests.LastCreated(); !got.Equal(stream.created) { // it does not wait
		t.Errorf("got %v, want the last answer %v", got, stream.created)
	}
	close(stream.end)
	all.Wait()
	if got := stream.asked.Load(); got > callers/10 { // one, and another for each second that a busy machine takes
		t.Errorf("got %d calls for %d callers, want 1", got, callers)
	}
	before := stream.asked.Load()
	requests.Invalidate()
	requests.Created(t.Context())
	if got := stream.asked.Load(); got != before+1 {
		t.Errorf("got %d calls after the answer was invalidated, want 1", got-before)
	}
}
