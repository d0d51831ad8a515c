package task

import (
	"context"
	"errors"
)

// Shared is a store in which workers share what they learn. No task depends on it. Its calls return when ctx ends.
type Shared interface {
	// Get returns the value of a key and its revision, or nil and the revision 0 if there is none.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put writes a value over the revision that it was derived from; 0: there is none. The error is ErrConflict if another
	// worker has written since.
	Put(ctx context.Context, key string, value []byte, revision uint64) error
}

// ErrConflict means that a value was to be written over a revision that is not the latest.
var ErrConflict = errors.New("another worker has written the value")
