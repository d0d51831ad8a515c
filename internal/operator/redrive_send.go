package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"
)

// Change is a field that a new request has in place of the failed one's.
type Change struct {
	name  string
	value jsontext.Value
}

// ParseChange reads a change as name=value, where the value is JSON, or otherwise a string. The error names the rule of the field
// that the value breaks.
func ParseChange(text string) (Change, error) {
	name, value, ok := strings.Cut(text, "=")
	switch {
	case !ok || name == "":
		return Change{}, fmt.Errorf("must be FIELD=VALUE, such as max_steps=120 (got %.80q)", text)
	case name == "task_id":
		return Change{}, errors.New("task_id cannot be set: each run gets the next free one")
	}
	asText := checkField(name, quote(value))
	if json.Valid([]byte(value)) {
		asJSON := checkField(name, []byte(value))
		if asJSON == nil {
			return Change{name, jsontext.Value(value)}, nil
		}
		if asText != nil {
			return Change{}, asJSON
		}
	}
	if asText != nil {
		return Change{}, asText
	}
	return Change{name, quote(value)}, nil
}

// Send publishes the requests of the new runs, and returns how many are stored. perSecond bounds how fast; 0 is as fast as
// NATS takes them. onProgress, if it is not nil, is called as they are confirmed. A run that was sent before is not
// repeated: it has the same task id, and a worker runs an id once.
func (r *Redrive) Send(ctx context.Context, perSecond float64, onProgress func(confirmed, all int)) (Counts, error) {
	limit := rate.NewLimiter(rate.Inf, 1)
	if perSecond > 0 {
		limit.SetLimit(rate.Limit(perSecond))
	}
	name := r.q.Config.Dead.Stream
	letters, err := r.q.stream(ctx, "stream", name, name)
	if err != nil {
		return Counts{All: len(r.Tasks), Unsent: len(r.Tasks)}, err
	}
	confirmed := 0
	message := func(ctx context.Context, i int) (*nats.Msg, error) {
		if err := limit.Wait(ctx); err != nil {
			return nil, err
		}
		return r.message(ctx, letters, r.Tasks[i])
	}
	all, err := r.q.sendRequests(ctx, len(r.Tasks), message, func(int, *jetstream.PubAck) {
		confirmed++
		if onProgress != nil {
			onProgress(confirmed, len(r.Tasks))
		}
	})
	return all.counts(), err
}

// message reads the letter of a task again and returns the message of its new request.
func (r *Redrive) message(ctx context.Context, letters jetstream.Stream, t RedriveTask) (*nats.Msg, error) {
	msg, err := letters.GetMsg(ctx, t.letter.seq)
	if err != nil {
		return nil, fmt.Errorf("read the dead letter of task %s: %w", t.TaskID, r.q.explain(err))
	}
	l := readLetter(msg.Header, msg.Data)
	if l.taskID != t.TaskID || !msg.Time.Equal(t.letter.stored) {
		return nil, fmt.Errorf("read the dead letter of task %s: the stream was recreated meanwhile", t.TaskID)
	}
	req, err := r.request(ctx, l, t.NewID, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("redrive task %s: %w", t.TaskID, err)
	}
	header, err := r.q.headerOf(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("redrive task %s: %w", t.TaskID, err)
	}
	return req.Message(r.q.Config.Request.Subject, header), nil
}
