package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task/schema"
)

func TestManyExpensiveSchemasAreAllCompiled(t *testing.T) {
	checker := schema.NewChecker(memory.NewBudget(45 << 20))
	text := json.RawMessage(`{"enum":` + list("1", 3000) + `}`)
	var group sync.WaitGroup
	for range 300 {
		group.Go(func() {
			if err := checker.Validate(t.Context(), text); err != nil {
				t.Errorf("got %v, want it accepted", err)
			}
		})
	}
	group.Wait()
}

// Checks of large values occupy all slots for large ones, and wait for memory.
func TestSmallChecksDoNotWaitForLargeOnes(t *testing.T) {
	budget := memory.NewBudget(45 << 20)
	checker := schema.NewChecker(budget)
	all, err := budget.Reserve(t.Context(), budget.Size())
	if err != nil {
		t.Fatal(err)
	}
	large := list("1", 150_000)
	var waiting sync.WaitGroup
	var ended atomic.Int32
	for range 4 {
		waiting.Go(func() {
			if got := check(t, checker, `{"items":{"type":"integer"}}`, large); got != "" {
				t.Errorf("got %s, want it to fit", got)
			}
			ended.Add(1)
		})
	}
	for range 100 {
		if got := check(t, checker, `{"type":"object"}`, `{}`); got != "" {
			t.Errorf("got %s, want it to fit", got)
		}
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("got %d large values checked without their memory, want none", n)
	}
	all.Release()
	waiting.Wait()
	if got := budget.Reserved(); got != 0 {
		t.Errorf("got %d bytes reserved in the end, want 0", got)
	}
}

func TestALongCheckRunsAsALargeOne(t *testing.T) {
	budget := memory.NewBudget(45 << 20)
	checker := schema.NewChecker(budget)
	all := budget.TryReserve(budget.Size())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	evil, value := json.RawMessage(doubling(`"allOf":[NEXT,NEXT]`, `{}`)), []json.RawMessage{json.RawMessage(`{}`)}
	if _, err := checker.FirstFit(ctx, evil, value, inOrder(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that it waits", err)
	}
	all.Release()
	if got := check(t, checker, string(evil), `{}`); !strings.Contains(got, "takes too long") {
		t.Errorf("got %q, want that it takes too long", got)
	}
}

func TestTheContextEndsTheWaitForACheck(t *testing.T) {
	checker := schema.NewChecker(memory.NewBudget(1 << 20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := checker.FirstFit(ctx, json.RawMessage(`{}`), []json.RawMessage{json.RawMessage(`1`)}, inOrder(1))
	if _, misfit := errors.AsType[*schema.MisfitError](err); !errors.Is(err, context.Canceled) || misfit {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := checker.Validate(ctx, json.RawMessage(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// A check that is just stopped when it runs alone is also stopped, and no other, when it runs next to others.
func TestAVerdictDoesNotDependOnTheLoad(t *testing.T) {
	t.Parallel()
	checker := schema.NewChecker(memory.NewBudget(45 << 20))
	alternatives := `{"items":{"anyOf":` + strings.Replace(list(`{"type":"string"}`, 2000), "]", `,{"type":"number"}]`, 1) + `}}`
	verdict := func(n int) string { return check(t, checker, alternatives, list("1", n)) }
	most := sort.Search(200, func(n int) bool { return verdict(n) != "" }) - 1
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if got := verdict(most); got != "" {
				t.Errorf("%d items: got %s, want them to fit as they did alone", most, got)
			}
			if got := verdict(most + 1); !strings.Contains(got, "takes too long") {
				t.Errorf("%d items: got %q, want that it takes too long as it did alone", most+1, got)
			}
		})
	}
	group.Wait()
}
