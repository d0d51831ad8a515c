package control

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// firstRetry and lastRetry are the waits before the bucket is used again after a failure, and before a watch is made
	// again. usableRetry is the last wait of a watch if the bucket could be used before: then its server is in trouble, and
	// operators may be waiting.
	firstRetry  = time.Second
	lastRetry   = 30 * time.Second
	usableRetry = 3 * time.Second

	// scarceRetry is the wait after NATS has refused a subscription because of a limit: the worker's own work needs them
	// more than the watch.
	scarceRetry = 5 * time.Minute

	// heartbeat is the time between two signs of life of the consumer. Without one for twice as long the watch ends.
	heartbeat = time.Second

	// stallTime is how long the watch waits for each message that the bucket had when it began.
	stallTime = 10 * time.Second

	// idleTime is after how long without a watch the server removes its consumer.
	idleTime = time.Minute

	// pullMessages and pullBytes bound the messages on their way to the watch. A message can be larger than pullBytes if
	// the server allows that; then one is on its way at a time. With few messages at a time a worker that starts while
	// 50,000 marks are stored would ask for many parts, and each may wait for a busy machine or a distant server.
	pullMessages = 4096
	pullBytes    = 4 << 20
)

// Why a watch ended.
var (
	errReconnected   = errors.New("the connection to NATS was restored")
	errMessagesLost  = errors.New("messages were lost on the way")
	errStalled       = errors.New("the bucket's messages did not arrive")
	errSubscriptions = errors.New("NATS allows no more subscriptions")
)

// Run watches the bucket until ctx ends. Call it once the bucket can be used.
func (s *Steering) Run(ctx context.Context) {
	nc := s.bucket.JetStream().Conn()
	reconnected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(reconnected)
	defer s.settle()
	defer time.AfterFunc(s.patient, s.settle).Stop()
	var keeping sync.WaitGroup
	keeping.Go(func() { s.keep(ctx) })
	defer keeping.Wait()
	retry := timer.Growing(firstRetry, lastRetry)
	for {
		err := s.watch(ctx, reconnected, retry.Reset)
		if ctx.Err() != nil {
			return
		}
		s.noteEnd(err, nc.IsConnected())
		wait := retry.NextBackOff()
		if s.isUnwatched() || isSilence(err) {
			wait = min(wait, usableRetry)
		}
		early := reconnected
		if errors.Is(err, errSubscriptions) {
			wait, early = scarceRetry, nil
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-early:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// noteEnd decides by the end of a watch what is still known, and logs why it ended, once for each reason.
func (s *Steering) noteEnd(err error, isConnected bool) {
	_, isRefused := errors.AsType[refusal](err)
	if isRefused || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, errDenied) {
		s.forget()
	}
	s.markStale()
	if !isSilence(err) {
		s.settle()
	}
	if isConnected {
		s.wakeKeep() // it asks for the pause while there is no watch
	}
	level := zerolog.WarnLevel
	if errors.Is(err, errReconnected) || !isConnected || err.Error() == s.problem {
		level = zerolog.DebugLevel
	} else {
		s.problem = err.Error()
	}
	s.log.WithLevel(level).Err(err).Str("bucket", s.bucket.cfg.Bucket).Msg("cancellations and pauses not watched, retrying")
}

// isSilence reports whether a watch ended, or a question failed, because of something that may be over soon. Otherwise NATS
// has answered that the bucket cannot be used or watched.
func isSilence(err error) bool {
	if _, isRefused := errors.AsType[refusal](err); isRefused || errors.Is(err, errDenied) || errors.Is(err, errSubscriptions) {
		return false
	}
	isOff := errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
	return !jet.IsRefusal(err) || jet.IsUnavailable(err) && !isOff
}

// Note takes an error that NATS reported. If the account has no subscriptions left, the watch ends and is not made again
// for five minutes: the worker's own work needs them more. It returns false if the error is another one.
func (s *Steering) Note(err error) bool {
	if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) && !strings.Contains(err.Error(), nats.MAX_SUBSCRIPTIONS_ERR) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endWatch == nil {
		return false
	}
	s.endWatch(errSubscriptions)
	return true
}

// watch reads all messages of the bucket that concern operators, and then those that come, until something ends that. The
// error says what. complete is called when all that were there have been read.
func (s *Steering) watch(ctx context.Context, reconnected <-chan nats.Status, complete func()) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	reconnects := s.reconnects()
	denied := s.bucket.deniedNext(watching)
	for len(reconnected) > 0 { // that was before this watch
		<-reconnected
	}
	consumer, err := s.openConsumer(ctx)
	if err != nil {
		return err
	}
	defer s.closeConsumer(ctx, consumer)
	go func() {
		select {
		case <-reconnected: // what the server sent over the lost connection is missing
			end(errReconnected)
		case <-denied:
			end(errDenied)
		case <-ctx.Done():
		}
	}()
	s.setEnd(end)
	defer s.setEnd(nil)
	return s.read(ctx, end, consumer, reconnects, complete)
}

func (s *Steering) setStream(stream jetstream.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = stream
}

func (s *Steering) setEnd(end context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWatch = end
}

// openConsumer creates the consumer of a watch, with the last message of each key. It looks at the bucket again, which can
// be another one than that of the watch before. It reads the pause at once: the marks may take long, and a worker that
// starts must not submit anything during a pause.
func (s *Steering) openConsumer(ctx context.Context) (consumer jetstream.Consumer, err error) {
	subject := func(key string) string { return jet.BucketSubject(s.bucket.cfg.Bucket, key) }
	err = s.bucket.callAside(ctx, watching, func(ctx context.Context) error {
		stream, err := s.bucket.find(ctx)
		if err != nil {
			return err
		}
		s.setStream(stream)
		consumer, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Description:    "what operators ask of a worker",
			DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
			FilterSubjects: []string{subject(CancelPrefix + ">"), subject(CancelBatchPrefix + ">"), subject(PauseKey)},
			AckPolicy:      jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: idleTime,
		})
		if err != nil {
			return err
		}
		return s.readPause(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return s.bucket.last(ctx, stream, PauseKey)
		})
	})
	return consumer, err
}

// closeConsumer deletes the consumer of a watch. If that fails, the server removes it after idleTime.
func (s *Steering) closeConsumer(ctx context.Context, consumer jetstream.Consumer) {
	js := s.bucket.JetStream()
	if !js.Conn().IsConnected() {
		return
	}
	_ = s.bucket.callAside(context.WithoutCancel(ctx), watching, func(ctx context.Context) error {
		return js.DeleteConsumer(ctx, s.bucket.cfg.Stream(), consumer.CachedInfo().Name)
	})
}

// read takes the messages of a watch, the first of which tell the state of the bucket. When that is complete, it takes the
// place of what was known before.
func (s *Steering) read(ctx context.Context, end context.CancelCauseFunc, consumer jetstream.Consumer, reconnects uint64, complete func()) error {
	bytes := max(pullBytes, int(s.bucket.JetStream().Conn().MaxPayload())+1<<10) // a smaller limit would never let the largest message pass
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, bytes), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	defer messages.Stop()
	stalled := time.AfterFunc(stallTime, func() { end(errStalled) })
	defer stalled.Stop()
	s.beginLook(reconnects)
	looking := true
	pending := consumer.CachedInfo().NumPending
	for received := uint64(0); ; received++ {
		if looking && pending == 0 {
			looking = false
			stalled.Stop()
			s.endLook()
			complete()
		}
		msg, left, err := nextMessage(ctx, messages, received+1)
		if err != nil {
			return err
		}
		s.note(msg)
		if looking {
			stalled.Reset(stallTime)
			pending = min(pending-1, left)
		}
	}
}

// nextMessage returns the next message, and how many are left. The error is errMessagesLost if it does not have the
// number that the consumer gives it.
func nextMessage(ctx context.Context, messages jetstream.MessagesContext, number uint64) (_ *jetstream.RawStreamMsg, left uint64, err error) {
	msg, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, 0, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, 0, err
	}
	if meta.Sequence.Consumer != number {
		return nil, 0, errMessagesLost
	}
	return &jetstream.RawStreamMsg{
		Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Header: msg.Headers(), Data: msg.Data(), Time: meta.Timestamp,
	}, meta.NumPending, nil
}
