// Package schema checks JSON against JSON Schema within a budget: of steps, of memory, and of how much is checked at
// once.
//
// It knows the drafts 4, 6, 7, 2019-09 and 2020-12. The keyword $schema says which one a schema is written for;
// without it that is 2020-12. So of a draft-04 schema without $schema only what 2020-12 has as well is understood:
// definitions works as a place for $ref, but exclusiveMinimum: true, id, and an array in items are refused or have no
// effect. The keyword nullable and the others of OpenAPI 3.0 are no part of JSON Schema and have no effect: a value
// that may be null has "type": ["string", "null"]. A $schema that names another dialect (OpenAPI 3.1, draft-03) is
// refused, and so is a $ref to another document: a schema is complete in itself.
//
// As the drafts say, format is checked up to draft 7 and is a remark from 2019-09 on, and so are contentEncoding and
// contentMediaType in all of them. Patterns are ECMA-262 with the flag u; a pattern that is not valid with that flag,
// such as [\w-.], is read without it. They are found in a time that grows with the length of the text times that of
// the pattern, look-around included. Only back-references can take longer.
//
// No verdict depends on the clock. What a check costs is counted in steps, and one that takes too many is broken off
// at the same point on any machine, whatever else that does.
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

// How much is compiled and checked at once. Small jobs do not wait for large ones.
const (
	quickJobs  = 2
	largeJobs  = 2
	quickBytes = 8 << 20 // memory that a small job takes, at most
)

// Bounds of the memory that a check takes.
const (
	maxDecoded      = 128 << 20 // bytes of a value that is decoded, with the stack to check it
	frameSize       = 3 << 10   // bytes of stack for a schema that is applied inside another one
	schemaValueSize = 3 << 10   // bytes for a value in a schema that is compiled
)

// Checker compiles schemas and checks values against them: few at once, and those that take much memory when it is
// free. A nil Checker does the same without such bounds. Its methods may be called by many goroutines at once.
type Checker struct {
	memory *memory.Budget
	quick  *semaphore.Weighted
	large  *semaphore.Weighted
}

// NewChecker returns a Checker that reserves the memory for large values from the budget.
func NewChecker(budget *memory.Budget) *Checker {
	return &Checker{memory: budget, quick: semaphore.NewWeighted(quickJobs), large: semaphore.NewWeighted(largeJobs)}
}

// Validate returns nil where the schema can be used. An error that is not ctx's says what is wrong with the schema,
// and may quote it.
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

// MisfitError says that no value fits the schema.
type MisfitError struct {
	Reason error // why the first one does not. It names places, and quotes no more of the value than names
}

func (e *MisfitError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *MisfitError) Unwrap() error { return e.Reason }

// Description is how a schema describes the member of an object.
type Description int

// The descriptions. A schema that only lets a member pass does not describe it.
const (
	NotDescribed Description = iota
	Implied                  // in a schema that it refers to or combines, or as one of the additional properties
	Outright                 // in its own properties
)

// Order says in which order values are tried, by their index, and may leave some out. It can ask how the schema
// describes a member.
type Order func(describes func(member string) Description) []int

// FirstFit returns the index of the first of the values, in that order, that fits the schema. The error is a
// *MisfitError where none fits, or ctx's, or says why the schema cannot be used.
func (c *Checker) FirstFit(ctx context.Context, schema json.RawMessage, values []json.RawMessage, order Order) (int, error) {
	in, err := measureSchema(schema)
	if err != nil {
		return -1, err
	}
	instances := make([]instance, len(values))
	most := 0
	for i, value := range values {
		size, err := measureJSON(value)
		instances[i] = instance{raw: value, measure: size, err: err}
		most = max(most, checkSize(schema, in, size))
	}
	var fits int
	err = c.run(ctx, schemaSize(in)+min(most, maxDecoded), func(m *meter) error {
		s, err := compile(schema, in, m)
		if err != nil {
			return err
		}
		fits, err = s.firstFit(instances, order(s.describes))
		return err
	})
	return fits, err
}

// instance is a value to be checked.
type instance struct {
	measure
	raw json.RawMessage
	err error // it cannot be checked
}

func (c *compiled) firstFit(instances []instance, order []int) (int, error) {
	first := errors.New("there is no value")
	for n, i := range order {
		each := instances[i]
		err := each.err
		if err == nil {
			err = c.refuse(each.measure)
		}
		if err == nil {
			err = c.check(each.raw, each.measure)
		}
		if err == nil || errors.Is(err, errLong) {
			return i, err
		}
		if n == 0 {
			first = err
		}
	}
	return -1, &MisfitError{Reason: first}
}

// refuse returns an error where a value would take too much memory to check.
func (c *compiled) refuse(in measure) error {
	if memoryOf(in, c.chain, c.unique, c.evaluates) > maxDecoded {
		return fmt.Errorf("it has too many values, or is nested too deep, to be checked against this schema: %d values in %d bytes", in.values, in.length)
	}
	return nil
}

// memoryOf returns about how many bytes it takes to check a value against a schema of which so many parts are applied
// inside one another.
func memoryOf(in measure, chain int, unique, evaluates bool) int {
	size := in.most + chain*(in.depth+1)*frameSize
	if unique {
		size += 40 * in.values // the hash of each item
	}
	if evaluates {
		size += in.whole - in.most + 150*in.values // lists of what is unevaluated
	}
	return size
}

// checkSize returns what memoryOf does, at most, before the schema is compiled.
func checkSize(schema []byte, of, in measure) int {
	return memoryOf(in, of.values/2, bytes.Contains(schema, []byte("uniqueItems")), bytes.Contains(schema, []byte("unevaluated")))
}

// schemaSize returns about how many bytes it takes to compile a schema.
func schemaSize(in measure) int { return in.length + in.values*schemaValueSize }

// run runs a job that takes about so many bytes of memory. One that turns out to take more than a moment runs again, among the
// large ones.
func (c *Checker) run(ctx context.Context, size int, job func(*meter) error) error {
	if c == nil {
		return job(newMeter(math.MaxInt))
	}
	if size <= quickBytes {
		if err := acquire(ctx, c.quick); err != nil {
			return err
		}
		err := job(newMeter(quickSteps))
		c.quick.Release(1)
		if !errors.Is(err, errLong) {
			return err
		}
	}
	if err := acquire(ctx, c.large); err != nil {
		return err
	}
	defer c.large.Release(1)
	reserved, err := c.memory.Reserve(ctx, int64(size))
	if err != nil {
		return err
	}
	defer reserved.Release()
	return job(newMeter(math.MaxInt))
}

func acquire(ctx context.Context, places *semaphore.Weighted) error {
	if err := places.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait to check a schema: %w", err)
	}
	return nil
}
