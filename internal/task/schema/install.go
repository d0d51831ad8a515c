package schema

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// visit is the first thing that a subschema does with each value: it counts steps. The validator has no hook for that, so a
// visit takes the place of the subschema's format, which the validator checks early. The keywords that it would check even
// earlier (type, enum, const) are taken from the subschema and checked by the visit, too.
type visit struct {
	meter  *meter
	schema *jsonschema.Schema
	// Steps of a visit that do not depend on the value.
	cost int
	// Steps for each member of an object.
	perName int
	// How many violations the keywords left to the validator can find in one value.
	keeps     int
	evaluates bool
	// No value fits: the schema is false, or its const is not in its enum.
	never bool
	types *jsonschema.Types
	// The values of enum or const; nil if there is neither.
	values []any
	// How many JSON values each of these has.
	sizes []int
	// What is reported if the value is none of these.
	misfit jsonschema.ErrorKind
	// The schema's own format, or nil.
	format *jsonschema.Format
}

// misfit is a violation of a keyword that a visit checks.
type misfit struct{ kind jsonschema.ErrorKind }

// Error implements error. Its text is never shown: describe uses the kind.
func (*misfit) Error() string { return "it does not fit" }

// install moves those keywords of a compiled schema to a visit and to children whose cost the validator does not bound.
func (m *meter) install(s *jsonschema.Schema, chain int, evaluates bool) {
	v := &visit{meter: m, schema: s, format: s.Format, types: s.Types, evaluates: evaluates}
	if s.Bool != nil {
		if *s.Bool {
			return // true checks nothing
		}
		// The validator looks at nothing else of a schema that is false, and so would not call the visit.
		v.never, s.Bool = true, nil
	}
	v.takeValues()
	v.count(chain)
	s.Types = nil // checked by the visit from now on
	s.Format = &jsonschema.Format{Validate: v.validate}
	if v.format != nil {
		s.Format.Name = v.format.Name
	}
	if c := newChildren(m, s); c != nil {
		s.Extensions = append(s.Extensions, c)
	}
}

// takeValues takes enum and const from the schema. If there are both, the value must be the const, and the const must be in
// the enum.
func (v *visit) takeValues() {
	s := v.schema
	if s.DraftVersion < 2019 && s.Ref != nil {
		// Drafts 4 to 7 ignore everything next to $ref, but the compiler sets const all the same.
		s.Enum, s.Const = nil, nil
		return
	}
	if s.Const != nil {
		v.values, v.misfit = []any{*s.Const}, &kind.Const{Want: *s.Const}
		if s.Enum != nil && !slices.ContainsFunc(s.Enum.Values, func(each any) bool { return v.meter.equal(each, *s.Const) }) {
			v.never = true
		}
	} else if s.Enum != nil {
		v.values, v.misfit = s.Enum.Values, &kind.Enum{Want: s.Enum.Values}
	}
	s.Enum, s.Const = nil, nil
	for _, value := range v.values {
		v.sizes = append(v.sizes, countValues(value))
	}
}

// count computes the cost of a visit that does not depend on the value. The validator compares each visit with those that it
// is nested in at the same value, to detect endless loops; there are at most chain of them.
func (v *visit) count(chain int) {
	s := v.schema
	// Each subschema is a call of the validator. To look for a name, or to compare with another visit, is a fraction of a step.
	v.cost = 1 + chain/64 + len(s.AllOf) + len(s.AnyOf) + len(s.OneOf) + len(s.DependentSchemas) + len(s.Dependencies) + len(s.Required)/8
	for _, names := range s.DependentRequired {
		v.cost += 1 + len(names)/8
	}
	for _, each := range s.Dependencies {
		if names, ok := each.([]string); ok {
			v.cost += len(names) / 8
		}
	}
	// Each name of an object is matched with each pattern.
	v.perName = 1 + len(s.PatternProperties)
	// Each of these keywords has one violation at most.
	for _, set := range []bool{
		s.MinProperties != nil, s.MaxProperties != nil, s.MinItems != nil, s.MaxItems != nil, s.MinLength != nil, s.MaxLength != nil,
		s.Pattern != nil, s.Minimum != nil, s.Maximum != nil, s.ExclusiveMinimum != nil, s.ExclusiveMaximum != nil, s.MultipleOf != nil,
		s.Not != nil, s.Ref != nil, s.AllOf != nil, s.AnyOf != nil, s.OneOf != nil, s.DynamicRef != nil, s.RecursiveRef != nil,
	} {
		if set {
			v.keeps++
		}
	}
	v.keeps += (len(s.Required)+7)/8 + len(s.DependentRequired) + len(s.Dependencies)
}

// validate takes the place of the format's validator. It counts the visit and checks the keywords that were
// moved to it. The error is a *misfit, or that of the real format.
func (v *visit) validate(value any) error {
	v.meter.spend(v.cost + v.sizeOf(value))
	v.meter.keep(v.keeps)
	err := v.check(value)
	if err != nil {
		v.meter.keep(1) // the validator keeps it
	}
	return err
}

// sizeOf returns the steps for the size of the value. If the schema uses unevaluatedItems or -Properties, the validator
// copies the list of all names or items at each visit.
func (v *visit) sizeOf(value any) int {
	n := 0
	switch value := value.(type) {
	case string:
		return len(value) / 256 // the validator copies it
	case map[string]any:
		n = len(value) * v.perName
	case []any:
		n = len(value)
	}
	if v.evaluates && n > 1000 {
		n *= 10
	}
	return n
}

// check checks what the validator would check first: the schema false, type, enum, const, and then the real format.
func (v *visit) check(value any) error {
	if v.never {
		return &misfit{&kind.FalseSchema{}}
	}
	if t := typeOf(value); v.types != nil && !v.types.IsEmpty() && !v.allows(t, value) {
		return &misfit{&kind.Type{Got: t, Want: v.types.ToStrings()}}
	}
	if v.values != nil && !v.isChoice(value) {
		return &misfit{v.misfit}
	}
	if v.format == nil {
		return nil
	}
	return v.format.Validate(value)
}

// typeOf returns the type of a decoded value as JSON Schema calls it, where integers are numbers.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	default:
		return "number"
	}
}

// allows reports whether the keyword type allows a value of type t.
func (v *visit) allows(t string, value any) bool {
	var one jsonschema.Types // a set of bits
	one.Add(t)
	if int(*v.types)&int(one) != 0 {
		return true
	}
	number, ok := value.(json.Number)
	if !ok {
		return false
	}
	var integer jsonschema.Types
	integer.Add("integer")
	return int(*v.types)&int(integer) != 0 && isInteger(number)
}

// isInteger reports whether a number has no fraction. 1.0 and 1e2 have none (JSON Schema 2020-12,
// Validation, section 6.1.1).
func isInteger(n json.Number) bool {
	if !strings.ContainsAny(string(n), ".eE") {
		return true
	}
	r, ok := new(big.Rat).SetString(string(n))
	return ok && r.IsInt()
}

// isChoice reports whether the value is one of the enum, or the const. Comparing strings is cheap, anything else is not.
func (v *visit) isChoice(value any) bool {
	text, isText := value.(string)
	for i, want := range v.values {
		if isText {
			if i%32 == 0 {
				v.meter.spend(1)
			}
			if want == any(text) {
				return true
			}
			continue
		}
		v.meter.spend(v.sizes[i])
		if v.meter.equal(value, want) {
			return true
		}
	}
	return false
}

// equal reports whether two values are equal as JSON Schema defines it (2020-12, Core, section 4.2.2).
// Numbers are equal if their mathematical values are, such as 1 and 1.0, and the order of members does not
// matter.
func (m *meter) equal(a, b any) bool {
	if m.instance != nil {
		a, b = m.instance.resolve(a), m.instance.resolve(b)
	}
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || canonicalNumber(a) == canonicalNumber(b))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !m.equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, ok := b[name]; !ok || !m.equal(value, other) {
				return false
			}
		}
		return true
	default:
		switch b.(type) {
		case []any, map[string]any:
			return false // comparing them with == would panic
		}
		return a == b
	}
}

// canonicalNumber returns the same text for equal numbers. measureJSON has refused numbers whose exact
// value would be costly.
func canonicalNumber(n json.Number) string {
	if !strings.ContainsAny(string(n), ".eE") && n != "-0" {
		return string(n)
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return string(n)
	}
	return r.RatString()
}
