package memory

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Budget is a number of bytes that many goroutines share. A reservation that does not fit waits until
// others have been released, in the order of asking. Its methods may be called by many goroutines at once.
type Budget struct {
	size  int64
	bytes *semaphore.Weighted

	mu       sync.Mutex
	reserved int64 // guarded by mu
}

// NewBudget returns a budget of that many bytes, at least one.
func NewBudget(size int64) *Budget {
	size = max(size, 1)
	return &Budget{size: size, bytes: semaphore.NewWeighted(size)}
}

// Size is the number of bytes that can be reserved at once.
func (b *Budget) Size() int64 { return b.size }

// Reserved is the number of bytes that are reserved now.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved
}

// Free is the number of bytes that are not reserved now.
func (b *Budget) Free() int64 { return b.size - b.Reserved() }

// Reserve waits until the bytes are free and reserves them. A reservation larger than the budget takes all of
// it: what exceeds the budget is handled alone. The error is that of ctx, which ended first.
func (b *Budget) Reserve(ctx context.Context, bytes int64) (*Reservation, error) {
	bytes = b.bounded(bytes)
	if err := b.bytes.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("wait for %d bytes of memory: %w", bytes, err)
	}
	return b.reservation(bytes), nil
}

// TryReserve reserves the bytes if they are free now, and returns nil otherwise.
func (b *Budget) TryReserve(bytes int64) *Reservation {
	bytes = b.bounded(bytes)
	if !b.bytes.TryAcquire(bytes) {
		return nil
	}
	return b.reservation(bytes)
}

func (b *Budget) bounded(bytes int64) int64 { return min(max(bytes, 0), b.size) }

func (b *Budget) reservation(bytes int64) *Reservation {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved += bytes
	return &Reservation{budget: b, bytes: bytes}
}

// Reservation is a reserved part of a budget. Its owner releases it; nil is a reservation of nothing. Its
// methods may be called by many goroutines at once.
type Reservation struct {
	budget *Budget
	bytes  int64 // guarded by budget.mu
}

// Shrink releases all but that many bytes. A reservation that is smaller already stays as it is.
func (r *Reservation) Shrink(bytes int64) {
	if r == nil {
		return
	}
	r.budget.mu.Lock()
	released := max(r.bytes-max(bytes, 0), 0)
	r.bytes -= released
	r.budget.reserved -= released
	r.budget.mu.Unlock()
	r.budget.bytes.Release(released)
}

// Release releases all of it. A second call does nothing.
func (r *Reservation) Release() { r.Shrink(0) }
