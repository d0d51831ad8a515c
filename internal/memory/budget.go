package memory

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Budget is a number of bytes that many goroutines share. A reservation that does not fit waits until others have been
// released; those that wait are served in order. Its methods are safe for concurrent use.
type Budget struct {
	size  int64
	bytes *semaphore.Weighted

	mu       sync.Mutex
	reserved int64 // guarded by mu
}

// NewBudget returns a budget of this many bytes. A size below 1 counts as 1.
func NewBudget(size int64) *Budget {
	size = max(size, 1)
	return &Budget{size: size, bytes: semaphore.NewWeighted(size)}
}

// Size returns how many bytes can be reserved in all.
func (b *Budget) Size() int64 { return b.size }

// Reserved returns how many bytes are reserved now.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved
}

// Free returns how many bytes are not reserved now.
func (b *Budget) Free() int64 { return b.size - b.Reserved() }

// Reserve waits until the bytes are free and reserves them. A reservation larger than the budget takes all of it, so
// that what exceeds the budget is handled alone. One of nothing does not wait. The error is ctx's, if ctx ends first.
func (b *Budget) Reserve(ctx context.Context, bytes int64) (*Reservation, error) {
	if bytes = b.clamp(bytes); bytes == 0 {
		return nil, nil
	}
	if err := b.bytes.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("wait for %d bytes of memory: %w", bytes, err)
	}
	return b.newReservation(bytes), nil
}

// TryReserve reserves the bytes if they are free now, and returns nil otherwise. It bounds them as Reserve does.
func (b *Budget) TryReserve(bytes int64) *Reservation {
	bytes = b.clamp(bytes)
	if !b.bytes.TryAcquire(bytes) {
		return nil
	}
	return b.newReservation(bytes)
}

func (b *Budget) clamp(bytes int64) int64 { return min(max(bytes, 0), b.size) }

func (b *Budget) newReservation(bytes int64) *Reservation {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved += bytes
	return &Reservation{budget: b, bytes: bytes}
}

// Reservation is a reserved part of a budget. Its owner must release it. Nil is a reservation of nothing. Its methods
// are safe for concurrent use.
type Reservation struct {
	budget *Budget
	bytes  int64 // guarded by budget.mu
}

// Shrink releases all but this many bytes. It changes nothing if fewer are reserved.
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

// Release releases all of it. Further calls do nothing.
func (r *Reservation) Release() { r.Shrink(0) }
