package redrive

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
)

// letter is the newest dead letter of a task.
type letter struct {
	deadletter.Letter
	run   int   // the greatest number of a run that has a letter; 0 for the task itself
	unfit error // why no request can be made of it, once it was looked at
}

// summary returns the letter without its body, which may be large. It keeps the headers of one whose body is elsewhere.
func (l letter) summary() letter {
	l.Body = nil
	if !l.IsElsewhere() {
		l.Header = nil
	}
	return l
}

// newestLetters returns the newest letter of each task, by the task's id without the number of a run, and the time by the
// clock of the server. It reads those of a while, or all if that is 0. It keeps what judge makes of a letter. The letter
// of a request that was refused does not replace that of a task.
func newestLetters(ctx context.Context, q operator.Queue, while time.Duration, judge func(l letter, now time.Time) letter) (map[string]letter, time.Time, error) {
	s, err := q.Stream(ctx, q.Config.Dead.Stream)
	if err != nil {
		return nil, time.Time{}, err
	}
	now := s.CachedInfo().TimeStamp
	from := jetstream.OrderedConsumerConfig{}
	if while > 0 {
		start := now.Add(-while)
		from.DeliverPolicy, from.OptStartTime = jetstream.DeliverByStartTimePolicy, &start
	}
	newest := map[string]letter{}
	err = deadletter.NewLetters(q, from).Read(ctx, nil, func(read deadletter.Letter) {
		base, run := deadletter.SplitRun(read.TaskID)
		before, hasBefore := newest[base]
		l := letter{Letter: read, run: max(run, before.run)}
		if hasBefore && !l.Supersedes(before.Letter) {
			before.run = l.run
			newest[base] = before
			return
		}
		newest[base] = judge(l, now)
	})
	return newest, now, err
}
