package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/semaphore"

	"github.com/capstan-worker/capstan/internal/memory"
)

// How many jobs run at the same time. Small jobs do not wait for large ones.
const (
	smallJobs = 2
	largeJobs = 2
	// The most memory that a small job takes, in bytes.
	smallBytes = 8 << 20
)

// Memory of a check, in bytes. The sizes were measured with Go 1.26 and rounded up.
const (
	// For a decoded value and the stack to check it. A value that needs more does not fit.
	maxMemory = 128 << 20
	// Stack for each subschema that is applied inside another one.
	frameSize = 3 << 10
	// For each JSON value of a compiled schema.
	schemaValueSize = 3 << 10
)

// Checker compiles schemas and checks values against them. It runs a few jobs at a time, and large ones only while there is
// memory for them. A nil Checker works without these limits. The methods may be called by many goroutines at once.
type Checker struct {
	// Reserved only for large jobs: two small ones take at most 16 MiB.
	memory *memory.Budget
	// Slots for jobs, small and large.
	small *semaphore.Weighted
	large *semaphore.Weighted
}

// NewChecker returns a Checker that reserves the memory for large jobs from the budget.
func NewChecker(budget *memory.Budget) *Checker {
	return &Checker{memory: budget, small: semaphore.NewWeighted(smallJobs), large: semaphore.NewWeighted(largeJobs)}
}

// Validate returns nil if the schema can be used. The error is ctx's, or says what is wrong with the schema and may quote
// it.
func (c *Checker) Validate(ctx context.Context, schema json.RawMessage) error {
	in, err := measureSchema(schema)
	if err != nil {
		return err
	}
	return c.run(ctx, schemaSize(in), func(m *meter) error {
		_, err := compile(schema, in, m)
		return err
	})
}

// MisfitError means that no value fits the schema.
type MisfitError struct {
	// Why the first value does not fit. It contains no part of the value but names of members.
	Reason error
}

// Error returns the reason.
func (e *MisfitError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *MisfitError) Unwrap() error { return e.Reason }

// Description says where a schema describes a member of an object.
type Description int

// The places. A schema that merely allows a member does not describe it.
const (
	NotDescribed Description = iota
	Implied                  // in a subschema for the same object (by $ref, allOf …), or in additionalProperties
	Outright                 // in properties of the schema itself
)

// Order returns the indexes of the values to try, in this order. It may leave some out, and may ask how the schema describes
// a member.
type Order func(describes func(member string) Description) []int

// FirstFit returns the index of the first value, in the order of order, that fits the schema. The error is
// a *MisfitError if none fits; otherwise it is ctx's, or says why the schema cannot be used. The schema is
// compiled again for each call.
func (c *Checker) FirstFit(ctx context.Context, schema json.RawMessage, values []json.RawMessage, order Order) (int, error) {
	in, err := measureSchema(schema)
	if err != nil {
		return -1, err
	}
	instances := make([]instance, len(values))
	most := 0
	for i, value := range values {
		// A value that cannot be measured does not fit, but the others may.
		size, err := measureJSON(value)
		instances[i] = instance{raw: value, measure: size, err: err}
		most = max(most, checkSize(schema, in, size))
	}
	// One job for all values, because the schema is compiled in it.
	var fits int
	err = c.run(ctx, schemaSize(in)+min(most, maxMemory), func(m *meter) error {
		s, err := compile(schema, in, m)
		if err != nil {
			return err
		}
		fits, err = s.firstFit(instances, order(s.describes))
		return err
	})
	return fits, err
}

// instance is a value to check.
type instance struct {
	measure
	raw json.RawMessage
	err error // why it cannot be checked; nil if it can
}

// firstFit does the work of FirstFit. It returns errLong as it is, so that the job is run again.
func (c *compiled) firstFit(instances []instance, order []int) (int, error) {
	first := errors.New("there is no value")
	for n, i := range order {
		each := instances[i]
		err := each.err
		if err == nil {
			err = c.checkMemory(each.measure)
		}
		if err == nil {
			err = c.check(each.raw, each.measure)
		}
		if err == nil || errors.Is(err, errLong) {
			return i, err
		}
		if n == 0 { // the first value in the order is the most likely one to be meant
			first = err
		}
	}
	return -1, &MisfitError{Reason: first}
}

// checkMemory returns an error if it takes too much memory to check a value.
func (c *compiled) checkMemory(in measure) error {
	if memoryOf(in, c.chain, c.unique, c.evaluates) > maxMemory {
		return fmt.Errorf("it has too many values, or is nested too deep, to check it against this schema: %d values in %d bytes", in.values, in.length)
	}
	return nil
}

// memoryOf estimates the bytes that it takes to check a value. chain is how many subschemas are applied inside one another to
// the same value; unique and evaluates say whether the schema uses uniqueItems and unevaluatedItems or -Properties.
func memoryOf(in measure, chain int, unique, evaluates bool) int {
	size := in.most + chain*(in.depth+1)*frameSize
	if unique {
		size += 40 * in.values // a hash of each item
	}
	if evaluates {
		size += in.whole - in.most + 150*in.values // lists of what is not evaluated yet
	}
	return size
}

// checkSize returns an upper bound of memoryOf for a schema that is not compiled yet.
func checkSize(schema []byte, of, in measure) int {
	return memoryOf(in, of.values/2, bytes.Contains(schema, []byte("uniqueItems")), bytes.Contains(schema, []byte("unevaluated")))
}

// schemaSize estimates the bytes that it takes to compile a schema.
func schemaSize(in measure) int { return in.length + in.values*schemaValueSize }

// run runs a job that takes about size bytes of memory. A small job that needs more than smallSteps runs again as a large
// one.
func (c *Checker) run(ctx context.Context, size int, job func(*meter) error) error {
	if c == nil { // without limits
		return job(newMeter(math.MaxInt))
	}
	if size <= smallBytes {
		if err := acquire(ctx, c.small); err != nil {
			return err
		}
		err := job(newMeter(smallSteps))
		c.small.Release(1)
		if !errors.Is(err, errLong) {
			return err
		}
	}
	if err := acquire(ctx, c.large); err != nil {
		return err
	}
	defer c.large.Release(1)
	// The slot is acquired first, so that a job that waits for its turn holds no memory.
	reserved, err := c.memory.Reserve(ctx, int64(size))
	if err != nil {
		return err
	}
	defer reserved.Release()
	return job(newMeter(math.MaxInt))
}

// acquire waits for a slot, at most until ctx ends.
func acquire(ctx context.Context, slots *semaphore.Weighted) error {
	if err := slots.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a schema check: %w", err)
	}
	return nil
}
