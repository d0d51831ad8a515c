package task

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Bounds of what a schema may cost. References let one of a few lines take time without end: two in each
// of thirty definitions, each to the next, are a billion visits.
const (
	baseSteps  = 250_000         // of a check: visits of a subschema, with what each can branch into
	valueSteps = 25              // more of them for each value that is checked
	maxTime    = 5 * time.Second // of a compilation, or of a check
	maxMatch   = time.Second     // of one pattern against one text
	maxPattern = 4096            // bytes of a pattern
	maxGroups  = 100             // opening parentheses of a pattern: to compile nested ones takes their cube
)

// errCostly: the check was broken off.
var errCostly = errors.New("it takes too long to check")

// meter breaks a check off when it has cost enough. The validator knows no such bound: the meter stands
// in every compiled schema in the place of its format, which is looked at early in each visit.
type meter struct {
	left  int // steps
	until time.Time
}

func (m *meter) start(values int) {
	m.left, m.until = baseSteps+valueSteps*values, time.Now().Add(maxTime)
}

// spend takes note of work. It panics with errCostly when it was too much: the validator can be left in
// no other way.
func (m *meter) spend(steps int) {
	if m.left -= steps; m.left < 0 || time.Now().After(m.until) {
		panic(errCostly)
	}
}

// install puts the meter into a compiled schema. Its enum and const are checked later than they would
// be: the validator compares them before anything that can be metered.
func (m *meter) install(s *jsonschema.Schema) {
	format := s.Format
	s.Format = &jsonschema.Format{Validate: func(v any) error {
		m.spend(1 + branches(s, v))
		if format == nil {
			return nil
		}
		return format.Validate(v)
	}}
	if format != nil {
		s.Format.Name = format.Name
	}
	if s.Enum != nil {
		values := s.Enum.Values
		s.Extensions = append(s.Extensions, choice{m, values, &kind.Enum{Want: values}})
		s.Enum = nil
	}
	if s.Const != nil {
		value := *s.Const
		s.Extensions = append(s.Extensions, choice{m, []any{value}, &kind.Const{Want: value}})
		s.Const = nil
	}
}

// branches returns how many visits of other subschemas one visit can lead to at once.
func branches(s *jsonschema.Schema, v any) int {
	n := len(s.AllOf) + len(s.AnyOf) + len(s.OneOf) + len(s.DependentSchemas) + len(s.Dependencies)
	switch v := v.(type) {
	case map[string]any:
		n += len(v) * (1 + len(s.PatternProperties))
	case []any:
		n += len(v)
	}
	return n
}

// choice is an enum or a const.
type choice struct {
	meter  *meter
	values []any
	broken jsonschema.ErrorKind
}

// Validate reports a value that is none of the choice. To compare strings costs little, numbers a lot.
func (c choice) Validate(ctx *jsonschema.ValidatorContext, v any) {
	_, cheap := v.(string)
	for i, want := range c.values {
		if !cheap || i%20 == 0 {
			c.meter.spend(1)
		}
		if equal, err := ctx.Equals(v, want); err == nil && equal {
			return
		}
	}
	ctx.AddError(c.broken)
}

// pattern is a regular expression of ECMA-262, which is what JSON Schema's patterns are.
type pattern struct {
	*regexp2.Regexp
	meter *meter
}

// compilePattern is the validator's regexp engine.
func (m *meter) compilePattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern || strings.Count(text, "(") > maxGroups {
		return nil, fmt.Errorf("it is longer than %d bytes, or has more than %d groups", maxPattern, maxGroups)
	}
	m.spend(1)
	re, err := regexp2.Compile(text, regexp2.ECMAScript)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = maxMatch
	return pattern{re, m}, nil
}

// MatchString reports whether the pattern is found in the text.
func (p pattern) MatchString(text string) bool {
	p.meter.spend(1)
	found, err := p.Regexp.MatchString(text)
	if err != nil {
		panic(errCostly) // it timed out, or remembered too many ways back
	}
	return found
}
