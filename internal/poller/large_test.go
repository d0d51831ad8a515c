package poller_test

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

var ones = bytes.Repeat([]byte("1"), 32<<20)

// large is an API whose workflows have all ended, with results of that many bytes.
type large struct {
	size  func(id string) int64
	says  bool // how large an answer is
	takes time.Duration

	mu    sync.Mutex
	asked map[string][]int64 // by workflow: the most that was to be read
}

func (l *large) Status(_ context.Context, id string, most int64) (task.Workflow, error) {
	l.mu.Lock()
	if l.asked == nil {
		l.asked = map[string][]int64{}
	}
	l.asked[id] = append(l.asked[id], most)
	l.mu.Unlock()
	<-time.After(l.takes)
	size := l.size(id)
	if size > most {
		said := int64(-1)
		if l.says {
			said = size
		}
		return task.Workflow{}, &task.StatusError{HTTPStatus: 200, TooLarge: true, Size: said}
	}
	return task.Workflow{Status: "COMPLETED", Result: ones[:size]}, nil
}

func (*large) Timeout() time.Duration { return 30 * time.Second }

func TestTooLargeAnswerEndsTheWait(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size  int64
		says  bool
		polls int
		large bool
	}{
		"small":                   {64 << 10, true, 1, false},
		"larger":                  {64<<10 + 1, true, 2, false},
		"larger, it does not say": {64<<10 + 1, false, 2, false},
		"largest":                 {32 << 20, true, 2, false},
		"too large":               {32<<20 + 1, true, 1, true},
		"too large, silent":       {32<<20 + 1, false, 2, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := &large{size: func(string) int64 { return tt.size }, says: tt.says}
				budgets := plenty()
				outcome, err := within(budgets, answers).Wait(t.Context(), fresh(time.Hour))
				if err != nil || outcome.TooLarge != tt.large || outcome.Polls != tt.polls {
					t.Errorf("got %d polls, too large: %v, %v, want %d polls, too large: %v", outcome.Polls, outcome.TooLarge, err, tt.polls, tt.large)
				}
				if !tt.large && int64(len(outcome.Result)) != tt.size {
					t.Errorf("got a result of %d bytes, want %d", len(outcome.Result), tt.size)
				}
				wantBetween(t, "detection delay", outcome.DetectionDelay, interval, interval*11/10)
				outcome.Release()
				wantFree(t, budgets)
			})
		})
	}
}

// An API may say one size, and send another.
func TestAnswerThatGrowsIsReadOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := &large{says: true}
		calls := int64(0)
		answers.size = func(string) int64 { calls++; return calls * 100 << 10 }
		outcome := wait(t, within(plenty(), answers), fresh(time.Hour))
		if outcome.Status != "COMPLETED" || outcome.Polls != 3 {
			t.Errorf("got %d polls, %s, want the third to be enough", outcome.Polls, outcome.Status)
		}
	})
}

// The memory for an answer stays reserved until the event is stored: large results come one after the other.
func TestLargeAnswersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks = 100
		budgets := memory.Divide(450 << 20)
		answers := &large{size: func(string) int64 { return 32 << 20 }, takes: 100 * time.Millisecond}
		p := within(poller.Budgets{Polls: budgets.Polls, Answers: budgets.Answers}, answers)
		var mu sync.Mutex
		var atOnce, most int
		var wg sync.WaitGroup
		for i := range tasks {
			w := resumed(time.Minute, time.Hour)
			w.WorkflowID = strconv.Itoa(i)
			wg.Go(func() {
				outcome, err := p.Wait(t.Context(), w)
				if err != nil || outcome.Status != "COMPLETED" {
					t.Errorf("got %s, %v, want it completed", outcome.Status, err)
				}
				mu.Lock()
				atOnce++
				most = max(most, atOnce)
				mu.Unlock()
				<-time.After(time.Second) // until the event is stored
				mu.Lock()
				atOnce--
				mu.Unlock()
				outcome.Release()
			})
		}
		wg.Wait()
		if most != 1 {
			t.Errorf("got %d results of 32 MiB at once, want 1", most)
		}
		wantFree(t, poller.Budgets{Polls: budgets.Polls, Answers: budgets.Answers})
	})
}

func TestSmallAnswersDoNotWaitBehindLargeOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budgets := memory.Divide(450 << 20)
		answers := &large{size: func(id string) int64 {
			if id == "small" {
				return 1000
			}
			return 8 << 20
		}, says: true}
		p := within(poller.Budgets{Polls: budgets.Polls, Answers: budgets.Answers}, answers)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 300 { // more than there are calls at once, and their events are never stored
			w := resumed(time.Hour, time.Hour)
			w.WorkflowID = strconv.Itoa(i)
			wg.Go(func() { _, _ = p.Wait(ctx, w) })
		}
		<-time.After(10 * time.Second)
		start := time.Now()
		w := fresh(time.Minute)
		w.WorkflowID = "small"
		if outcome := wait(t, p, w); outcome.Status != "COMPLETED" {
			t.Errorf("got %+v, want it completed", outcome)
		}
		wantBetween(t, "the small one's wait", time.Since(start), 2*interval*9/10, 2*interval*11/10) // many have begun
		cancel()
		wg.Wait()
	})
}

// A workflow that ended in time has not timed out because its answer waits for memory.
func TestLargeAnswerMayBeReadAfterTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budgets := poller.Budgets{Polls: memory.NewBudget(1 << 20), Answers: memory.NewBudget(1 << 20)}
		p := within(budgets, &large{size: func(string) int64 { return 1 << 20 }, says: true})
		outcomes := make(chan *task.Outcome, 3)
		for range 3 {
			go func() {
				outcome, err := p.Wait(t.Context(), fresh(10*time.Second))
				if err != nil {
					t.Error(err)
				}
				outcomes <- outcome
			}()
		}
		first := <-outcomes
		<-time.After(30 * time.Second)
		first.Release()
		second := <-outcomes
		if second.TimedOut || second.Status != "COMPLETED" {
			t.Errorf("got %s, timed out: %v, want it completed", second.Status, second.TimedOut)
		}
		if third := <-outcomes; !third.TimedOut { // it waits for no longer than a minute
			t.Errorf("got %s, want a time-out", third.Status)
		}
		second.Release()
		wantFree(t, budgets)
	})
}
