package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/jet"
)

const (
	// firstTime is how long All waits for the first answer, askTime for each further one, and allTime for all of them.
	firstTime = time.Second
	askTime   = 300 * time.Millisecond
	allTime   = 3 * time.Second

	// mostAnswers and answerSize bound the number of the answers that All reads, and the bytes of each. Whoever may
	// subscribe to jet.StatusSubject may answer, and as often as they like.
	mostAnswers = 5000
	answerSize  = 8 << 10
)

// All asks all workers that run for their status, and returns the answers that come. If none listens, NATS says so at once. The
// first one has a second to answer: a busy machine must not look like one without workers. A worker that does not answer
// within 300 ms of the one before counts as one that does not run. All takes no longer than three seconds and reads no more
// than 5000 answers.
func All(ctx context.Context, nc *nats.Conn) ([]Status, error) {
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := nc.PublishRequest(jet.StatusSubject, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	all, err := read(ctx, answers)
	if err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	return all, nil
}

// read returns the statuses that arrive until a pause, or until one of the bounds is reached.
func read(ctx context.Context, answers *nats.Subscription) (all []Status, err error) {
	bounded, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	for wait, n := firstTime, 0; n < mostAnswers; wait, n = askTime, n+1 {
		msg, err := next(bounded, answers, wait)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return all, nil
		case errors.Is(err, nats.ErrSlowConsumer): // some answers were dropped
			continue
		case err != nil:
			return nil, err
		}
		var s Status
		if len(msg.Data) <= answerSize && json.Unmarshal(msg.Data, &s) == nil && s.Worker != "" {
			all = append(all, s)
		}
	}
	return all, nil
}

func next(ctx context.Context, answers *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return answers.NextMsgWithContext(ctx)
}
