package anchortest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestATaskIsSubmittedAgainUntilItsAnswerGetsThrough(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var numbers []string
	s := start(t, anchortest.WithRepeats(), anchortest.WithoutBodies(), anchortest.WithPlan(func(task anchortest.Task) anchortest.Plan {
		mu.Lock()
		defer mu.Unlock()
		numbers = append(numbers, fmt.Sprint(task.Number))
		return anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(429), anchortest.Reset().ButAccepted(), {Cut: true}}}
	}))
	for range 4 {
		_ = verdict(t, s, "x")
	}
	_ = verdict(t, s, "y")
	for range 4 {
		_ = verdict(t, s, "x")
	}
	mu.Lock()
	defer mu.Unlock()
	if got, want := strings.Join(numbers, " "), "1 1 1 1 2 3 3 3 3"; got != want {
		t.Errorf("got the numbers %s, want %s", got, want)
	}
	for name, posts := range map[string]int{"x": 4, "y": 1, "x (2)": 4} {
		if log := s.Log(name); log.Posts != posts || len(log.Bodies[0]) > 0 {
			t.Errorf("%s: got %+v, want %d POSTs and no body", name, log, posts)
		}
	}
}

func TestTasksOfOneNameAreTheSameByDefault(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 3 {
		_, _ = submit(t, s, body("x"))
	}
	if log := s.Log("x"); log.Posts != 3 || s.Totals().Tasks != 1 {
		t.Errorf("got %+v, want one task", log)
	}
}
