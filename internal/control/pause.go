package control

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// pauseState is what is known of the key PauseKey.
type pauseState struct {
	task.Pause
	ends time.Time // by the server's clock; zero: there is no pause
	seq  uint64    // of the message in the bucket that says so; 0: it has none
}

// at returns the pause of a moment.
func (p pauseState) at(now time.Time) (task.Pause, bool) {
	if now.Before(p.ends) {
		return p.Pause, true
	}
	return task.Pause{}, false
}

// Paused returns the pause that an operator has asked for. paused is false if there is none, and after its end.
func (s *Steering) Paused() (pause task.Pause, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pause.at(s.clock.Now())
}

// OnPause sets a function that is called with each pause that begins, also in the place of another one, and with paused
// false when there is none any more. The calls come one after the other. Call OnPause before Run.
func (s *Steering) OnPause(f func(pause task.Pause, paused bool)) { s.onPause = f }

// parsePause reads a message of the key, or nil if it has none.
func (s *Steering) parsePause(msg *jetstream.RawStreamMsg) (p pauseState) {
	if msg == nil {
		return p
	}
	p.seq = msg.Sequence
	if jet.IsDeleted(msg) {
		return p
	}
	p.Pause, p.ends = task.ParsePause(msg.Data), s.expiry(msg)
	if !p.Until.IsZero() && p.Until.Before(p.ends) {
		p.ends = p.Until
	}
	return p
}

// setPause replaces the pause, if what is known of it still allows that, and reports the change.
func (s *Steering) setPause(next pauseState, allows func(known pauseState) bool) {
	s.mu.Lock()
	if allows(s.pause) {
		s.pause = next
	}
	s.mu.Unlock()
	s.tellPause()
}

// readPause asks the bucket for the pause, which read does. It leaves a pause that becomes known in the meantime.
func (s *Steering) readPause(ctx context.Context, read func(context.Context) (*jetstream.RawStreamMsg, error)) error {
	s.mu.Lock()
	before := s.pause
	s.mu.Unlock()
	msg, err := read(ctx)
	if err != nil {
		return err
	}
	s.setPause(s.parsePause(msg), func(known pauseState) bool { return known == before })
	return nil
}

// tellPause logs and reports the pause if it is another one than before.
func (s *Steering) tellPause() {
	s.telling.Lock()
	defer s.telling.Unlock()
	pause, paused := s.Paused()
	if paused == s.toldPaused && pause.Reason == s.told.Reason && pause.By == s.told.By && pause.Until.Equal(s.told.Until) {
		return
	}
	s.told, s.toldPaused = pause, paused
	if paused {
		line := s.log.Info().Str("reason", pause.Reason)
		if pause.By != "" {
			line = line.Str("by", pause.By)
		}
		if !pause.Until.IsZero() {
			line = line.Time("until", pause.Until)
		}
		line.Msg("submissions paused by operator")
	} else {
		s.log.Info().Str("reason", "operator").Msg("submissions resumed")
	}
	if s.onPause != nil {
		s.onPause(pause, paused)
	}
	s.wakeKeep()
}

// wakeKeep lets keep look at once.
func (s *Steering) wakeKeep() {
	select {
	case s.wakes <- struct{}{}:
	default:
	}
}

const (
	// pauseCheck is the time between two checks whether a pause is still in the bucket: `nats stream purge` removes it
	// without a message that a watch would see. While there is no watch, a pause is noticed by it as well.
	pauseCheck = 5 * time.Second

	// sweepInterval is the time between two removals of expired marks.
	sweepInterval = time.Minute
)

// keep ends the pause on time and removes expired marks, until ctx ends.
func (s *Steering) keep(ctx context.Context) {
	swept := time.Now()
	for {
		if err := s.sleepUntilCheck(ctx); err != nil {
			return
		}
		s.tellPause()
		if _, paused := s.Paused(); paused || s.isUnwatched() {
			_ = s.readPause(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return s.bucket.message(ctx, PauseKey)
			}) // while NATS is away, the last known pause counts
		}
		if time.Since(swept) >= sweepInterval {
			swept = time.Now()
			s.sweep()
		}
	}
}

// sleepUntilCheck sleeps until the marks are to be swept or the bucket is to be asked for the pause, until the pause ends or
// is another one, or until the watch ends.
func (s *Steering) sleepUntilCheck(ctx context.Context) error {
	s.mu.Lock()
	now := s.clock.Now()
	wait := sweepInterval
	if _, paused := s.pause.at(now); paused {
		wait = min(pauseCheck, s.pause.ends.Sub(now))
	} else if s.known && s.endWatch == nil {
		wait = pauseCheck
	}
	s.mu.Unlock()
	return timer.Sleep(ctx, wait, s.wakes)
}
