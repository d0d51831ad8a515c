package redrive

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// Send publishes the requests of the new runs, and returns how many are stored. perSecond bounds how fast; 0 is as fast as
// NATS takes them. onProgress, if it is not nil, is called as they are confirmed. A run that was sent before is not
// repeated: it has the same task id, and a worker runs an id once.
func (p *Plan) Send(ctx context.Context, perSecond float64, onProgress func(confirmed, all int)) (send.Counts, error) {
	limit := rate.NewLimiter(rate.Inf, 1)
	if perSecond > 0 {
		limit.SetLimit(rate.Limit(perSecond))
	}
	letters, err := p.q.Stream(ctx, p.q.Config.Dead.Stream)
	if err != nil {
		return send.Counts{All: len(p.Tasks), Unsent: len(p.Tasks)}, err
	}
	confirmed := 0
	message := func(ctx context.Context, i int) (*nats.Msg, error) {
		if err := limit.Wait(ctx); err != nil {
			return nil, err
		}
		return p.message(ctx, letters, p.Tasks[i])
	}
	all, err := send.Requests(ctx, p.q, len(p.Tasks), message, func(int, *jetstream.PubAck) {
		confirmed++
		if onProgress != nil {
			onProgress(confirmed, len(p.Tasks))
		}
	})
	return all.Counts(), err
}

// message reads the letter of a task again and returns the message of its new request.
func (p *Plan) message(ctx context.Context, letters jetstream.Stream, t Task) (*nats.Msg, error) {
	msg, err := letters.GetMsg(ctx, t.letter.Seq)
	if err != nil {
		return nil, fmt.Errorf("read the dead letter of task %s: %w", t.TaskID, p.q.Explain(err))
	}
	l := deadletter.Parse(msg)
	if l.TaskID != t.TaskID || !l.Stored.Equal(t.letter.Stored) {
		return nil, fmt.Errorf("read the dead letter of task %s: the stream was recreated meanwhile", t.TaskID)
	}
	req, err := p.newRequest(ctx, *l, t.NewID, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("redrive task %s: %w", t.TaskID, err)
	}
	header, err := l.RequestHeader(ctx, p.q)
	if err != nil {
		return nil, fmt.Errorf("redrive task %s: %w", t.TaskID, err)
	}
	return req.Message(p.q.Config.Request.Subject, header), nil
}
