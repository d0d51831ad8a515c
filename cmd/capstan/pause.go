package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// pauseCmd stops the submissions of all workers for a while.
type pauseCmd struct {
	Until  string         `xor:"end" placeholder:"TIME" help:"End of the pause: a time of day such as 06:00 (the next one, local time), or an RFC 3339 time."`
	For    *time.Duration `xor:"end" placeholder:"DURATION" help:"Length of the pause, for example 2h."`
	Reason string         `placeholder:"TEXT" help:"The reason, which the workers and capstan status show."`
}

// Help is printed below the flags.
func (*pauseCmd) Help() string {
	return `No worker submits a task during a pause. Running tasks continue, and their events are published. Without --until and
--for the pause lasts until capstan resume, but not longer than TRACKER_TTL (7 days).

Examples:

  capstan pause --until 06:00 --reason "maintenance of the shop"
  capstan pause --for 2h
  capstan resume`
}

// Run pauses the workers, and says which pause that replaces.
func (p *pauseCmd) Run(ctx context.Context, t *terminal) error {
	until, err := parseUntil(p.Until, time.Now())
	if err != nil {
		return usageError{err}
	}
	if p.For != nil && *p.For <= 0 {
		return usageError{fmt.Errorf("--for must be a duration above 0, such as 2h (got %v)", *p.For)}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	q := c.queue()
	if p.For != nil {
		if until, err = steer.PauseUntil(ctx, q, *p.For); err != nil {
			return c.explain(ctx, err)
		}
	}
	pause := task.Pause{Reason: p.Reason, By: userName(), Until: until}
	before, err := steer.Pause(ctx, q, pause)
	if _, ok := errors.AsType[steer.RangeError](err); ok {
		return usageError{err}
	}
	if err != nil {
		return c.explain(ctx, err)
	}
	if before != nil {
		t.note("this replaces: %s", pauseText(*before))
	}
	t.printf("%s; capstan resume ends it\n", pauseText(pause))
	return nil
}

// parseUntil reads the end of a pause: the next time of day in the local zone, or an RFC 3339 time. An empty text is the
// zero time.
func parseUntil(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if until, err := time.Parse(time.RFC3339, text); err == nil {
		if !until.After(now) {
			return time.Time{}, fmt.Errorf("--until must be later than now, %s (got %s)", now.Format(time.RFC3339), text)
		}
		return until, nil
	}
	clock, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--until must be a time of day such as 06:00, or RFC 3339 such as 2026-01-02T06:00:00Z (got %q)", text)
	}
	next := func(days int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+days, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	if today := next(0); today.After(now) {
		return today, nil
	}
	return next(1), nil
}

// pauseText is a pause on one line, with its end in the local time.
func pauseText(p task.Pause) string {
	end := ""
	if !p.Until.IsZero() {
		end = fmt.Sprintf(" (%s)", clock(p.Until))
	}
	return oneLine(p.String(), messageWidth) + end
}

// resumeCmd ends the pause.
type resumeCmd struct{}

// Help is printed below the flags.
func (*resumeCmd) Help() string {
	return `It ends what capstan pause began. Workers also stop submitting by themselves, while the plan is full or the key is
rejected; that ends by itself.`
}

// errNotPaused is the note that there was nothing to resume.
var errNotPaused = errors.New("nothing was paused")

// Run ends the pause and says which one it was. It is no error if there was none.
func (*resumeCmd) Run(ctx context.Context, t *terminal) error {
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	p, err := steer.Resume(ctx, c.queue())
	if err != nil {
		return c.explain(ctx, err)
	}
	if p == nil {
		t.complain(errNotPaused)
		return nil
	}
	t.printf("resumed; it was %s\n", pauseText(*p))
	return nil
}
